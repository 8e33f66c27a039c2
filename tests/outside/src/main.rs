//! Moves bytes through a host and a client in one process, as a program does that embeds pinhole. `make outside` runs
//! it with the SCTP that str0m names itself, and with ours.

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Instant;

use pinhole::event::Way;
use pinhole::{Client, ClientConfig, Event, Host, HostConfig, Stream};

const LEN: usize = 32 * 1024 * 1024;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn echo(mut stream: Stream) -> std::io::Result<()> {
    std::io::copy(&mut stream.try_clone()?, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = HostConfig::new();
    let listener = config.serve("echo")?;
    let host = Host::start(config, |_| {})?;
    thread::spawn(move || listener.incoming().for_each(|stream| drop(thread::spawn(|| echo(stream)))));

    let (report, events) = pinhole::channel();
    let client = Client::start(ClientConfig::from_url(host.url().ok_or("no port is bound")?)?, report)?;
    let mut stream = client.connect("echo")?;
    let is_direct = |event: &Event| matches!(event, Event::Connected { way: Way::Direct { .. }, .. });
    if !events.try_iter().any(|event| is_direct(&event)) {
        return Err("the path is not direct".into());
    }

    let sent = pattern(LEN);
    let start = Instant::now();
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
