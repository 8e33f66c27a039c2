//! A host that serves streams itself, and a client that opens one, in one program: `cargo run --example embed`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use pinhole::{Client, ClientConfig, Host, HostConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = HostConfig::new();
    let listener = config.serve("shout")?;
    let host = Host::start(config, |_| {})?;
    thread::spawn(move || {
        for mut stream in listener.incoming() {
            let mut text = String::new();
            let shouted =
                stream.read_to_string(&mut text).and_then(|_| stream.write_all(text.to_uppercase().as_bytes()));
            if let Err(error) = shouted {
                eprintln!("a stream failed: {error}");
            }
        }
    });

    let client = Client::start(ClientConfig::from_url(host.url().ok_or("no signaling port")?)?, |_| {})?;
    let mut stream = client.connect("shout")?;
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}
