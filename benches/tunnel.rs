//! Benchmarks of a host and a client in this process, over real loopback sockets, compared with plain TCP.
//!
//! Groups: `throughput` (plain TCP, one stream, eight streams), `echo` (64 bytes, plain and through the tunnel).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::bounded;
use pinhole::internals::config::{ClientConfig, HostConfig};
use pinhole::internals::run::{Client, Host, RunError, Stopper};
use pinhole::internals::status::event::Event;

/// Bytes moved in one iteration.
const BULK: usize = 32 * 1024 * 1024;

/// First byte of a connection, which selects the service's behaviour.
const ECHO: u8 = b'e';
const SOURCE: u8 = b's';

fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut what = [0];
    stream.read_exact(&mut what)?;
    loop {
        match what[0] {
            ECHO => {
                let len = stream.read(&mut buffer)?;
                if len == 0 {
                    return Ok(());
                }
                stream.write_all(&buffer[..len])?;
            }
            _ => {
                // A request of eight bytes is the length of the answer.
                let mut len = [0; 8];
                stream.read_exact(&mut len)?;
                let mut left = u64::from_be_bytes(len) as usize;
                while left > 0 {
                    let count = left.min(buffer.len());
                    stream.write_all(&buffer[..count])?;
                    left -= count;
                }
            }
        }
    }
}

struct Tunnel {
    local: SocketAddr,
    stoppers: [Stopper; 2],
    sides: Vec<JoinHandle<Result<(), RunError>>>,
}

impl Tunnel {
    fn open(service: SocketAddr) -> Tunnel {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let host = Host::bind(HostConfig::sharing(service.into()), Box::new(|_| {})).expect("a host on loopback");
        let (sender, forwarding) = bounded(1);
        let mut config = ClientConfig::joining(host.url().expect("the host listens"), host.pin().clone(), any);
        config.once = true;
        let client = Client::bind(
            config,
            Box::new(move |event| {
                if let Event::Forwarding { .. } = event {
                    let _ = sender.send(());
                }
            }),
        )
        .expect("a client on loopback");
        let (local, stoppers) = (client.local_addr().expect("a port is bound"), [client.stopper(), host.stopper()]);
        let sides = vec![thread::spawn(move || host.run()), thread::spawn(move || client.run())];
        forwarding.recv_timeout(Duration::from_secs(20)).expect("the two sides meet");
        Tunnel { local, stoppers, sides }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stoppers.iter().for_each(Stopper::stop);
        for side in self.sides.drain(..) {
            let _ = side.join();
        }
    }
}

/// Connections that fetch a fixed number of bytes between them.
struct Fetch {
    streams: Vec<TcpStream>,
}

impl Fetch {
    fn new(address: SocketAddr, count: usize) -> Fetch {
        let connect = |_| {
            let mut stream = TcpStream::connect(address).expect("the service answers");
            stream.write_all(&[SOURCE]).expect("the service reads");
            stream
        };
        Fetch { streams: (0..count).map(connect).collect() }
    }

    fn run(&mut self) {
        let share = BULK / self.streams.len();
        thread::scope(|scope| {
            for stream in &mut self.streams {
                scope.spawn(move || {
                    let mut buffer = vec![0; 256 * 1024];
                    stream.write_all(&(share as u64).to_be_bytes()).expect("the service reads");
                    let mut left = share;
                    while left > 0 {
                        let count = stream.read(&mut buffer).expect("the service answers");
                        assert!(count > 0, "the service sends everything");
                        left -= count;
                    }
                });
            }
        });
    }
}

fn throughput(criterion: &mut Criterion) {
    let service = service();
    let tunnel = Tunnel::open(service);
    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Bytes(BULK as u64)).sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, address, count) in [
        ("plain TCP, 1 stream", service, 1),
        ("tunnel, 1 stream", tunnel.local, 1),
        ("plain TCP, 8 streams", service, 8),
        ("tunnel, 8 streams", tunnel.local, 8),
    ] {
        let mut fetch = Fetch::new(address, count);
        group.bench_function(name, |bencher| bencher.iter(|| fetch.run()));
    }
    group.finish();
}

fn echo(criterion: &mut Criterion) {
    let service = service();
    let tunnel = Tunnel::open(service);
    let mut group = criterion.benchmark_group("echo");
    group.throughput(Throughput::Bytes(64)).measurement_time(Duration::from_secs(2));
    for (name, address) in [("plain TCP", service), ("tunnel", tunnel.local)] {
        let mut stream = TcpStream::connect(address).expect("the service answers");
        stream.set_nodelay(true).expect("a connected socket takes options");
        stream.write_all(&[ECHO]).expect("the service reads");
        group.bench_function(name, |bencher| {
            let mut buffer = [0; 64];
            bencher.iter(|| {
                stream.write_all(&[7; 64]).expect("the service reads");
                stream.read_exact(&mut buffer).expect("the service answers");
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1));
    targets = throughput, echo
}
criterion_main!(benches);
