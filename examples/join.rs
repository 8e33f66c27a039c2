//! Makes the only service of a host appear on a local port: `cargo run --example join -- URL 127.0.0.1:8080`.

use std::error::Error;
use std::net::SocketAddr;

use pinhole::config::SignalingUrl;
use pinhole::{Client, ClientConfig, Event};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, local] = &arguments[..] else { return Err("usage: join URL ADDRESS:PORT".into()) };
    let (url, pin) = SignalingUrl::parse(url)?;
    let config = ClientConfig::joining(url, pin.ok_or("the URL has no pin")?, local.parse::<SocketAddr>()?);
    let client = Client::start(config, |event| {
        if let Event::Forwarding { local, .. } = event {
            println!("{local}");
        }
    })?;
    Ok(client.wait()?)
}
