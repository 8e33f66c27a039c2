//! Sends a line to a service of a host, and prints the answer:
//! `cargo run --example dial -- URL SERVICE 'GET / HTTP/1.0'`.

use std::error::Error;
use std::io::{self, Write};

use pinhole::{Client, ClientConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, service, line] = &arguments[..] else { return Err("usage: dial URL SERVICE LINE".into()) };
    let client = Client::start(ClientConfig::from_url(url)?, |_| {})?;
    let mut stream = client.connect(service)?;
    write!(stream, "{line}\r\n\r\n")?;
    io::copy(&mut stream, &mut io::stdout())?;
    Ok(())
}
