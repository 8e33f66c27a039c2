//! Makes the only service of a host appear on a local port: `cargo run --example join -- URL 127.0.0.1:8080`.

use std::error::Error;
use std::net::SocketAddr;

use pinhole::{Client, ClientConfig, Event};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut config = ClientConfig::from_url(&arguments.next().ok_or("which URL?")?)?;
    let local: SocketAddr = arguments.next().ok_or("which local address? For example 127.0.0.1:8080")?.parse()?;
    config = ClientConfig::joining(config.url, config.pin, local);
    let client = Client::start(config, |event| {
        if let Event::Forwarding { local, .. } = event {
            println!("{local}");
        }
    })?;
    Ok(client.wait()?)
}
