//! Moves bytes through a host and a client in one process, like a program that embeds pinhole. `make outside` runs it
//! with str0m's own SCTP, and with ours.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use pinhole::address::Target;
use pinhole::config::{ClientConfig, HostConfig};
use pinhole::run::{Client, Host};
use pinhole::status::event::{Event, Way};

const LEN: usize = 32 * 1024 * 1024;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let target = service.local_addr()?;
    thread::spawn(move || {
        for stream in service.incoming().flatten() {
            thread::spawn(move || {
                std::io::copy(&mut &stream, &mut &stream).and_then(|_| stream.shutdown(Shutdown::Write))
            });
        }
    });

    let config = HostConfig {
        stun: Vec::new(),
        ..HostConfig::sharing(Target { host: target.ip().to_string(), port: target.port() })
    };
    let host = Host::bind(config, Box::new(|_| {}))?;
    let url = host.url().ok_or("no port is bound")?;
    let pin = host.pin().clone();
    thread::spawn(move || host.run());

    let (sender, paths) = channel();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = ClientConfig { stun: Vec::new(), ..ClientConfig::joining(url, pin, any_port) };
    let reporter = move |event: &Event| {
        if let Event::Connected { way, .. } = event {
            let _ = sender.send(matches!(way, Way::Direct { .. }));
        }
    };
    let client = Client::bind(config, Box::new(reporter))?;
    let local = client.local_addr().ok_or("no port is bound")?;
    thread::spawn(move || client.run());
    if !paths.recv_timeout(Duration::from_secs(20))? {
        return Err("the path is not direct".into());
    }

    let sent = pattern(LEN);
    let start = Instant::now();
    let mut stream = TcpStream::connect(local)?;
    let mut writer = stream.try_clone()?;
    let expected = sent.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut received = Vec::with_capacity(LEN);
    stream.read_to_end(&mut received)?;
    writing.join().map_err(|_| "the writer panicked")??;
    if received != expected {
        return Err("what came back is not what was sent".into());
    }
    println!("{} MiB there and back in {:.2?}", LEN >> 20, start.elapsed());
    Ok(())
}
