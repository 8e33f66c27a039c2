//! Shares a TCP service of this machine: `cargo run --example share -- 127.0.0.1:8080`.

use std::error::Error;

use pinhole::{Event, Host, HostConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).ok_or("which service? For example 127.0.0.1:8080")?;
    let host = Host::start(HostConfig::sharing(target.parse()?), |event| match event {
        Event::Connected { session, .. } => eprintln!("{session} joined"),
        Event::Disconnected { session, reason, .. } => eprintln!("{session} left: {reason}"),
        _ => {}
    })?;
    println!("{}", host.url().ok_or("no signaling port")?);
    Ok(host.wait()?)
}
