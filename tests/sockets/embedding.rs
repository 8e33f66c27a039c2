//! The public face of the library: hosts and clients behind handles, streams in this process.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use pinhole::config::{AccessList, Approver, ConfigError, Endpoint, SharedService};
use pinhole::{AbortReason, Client, ClientConfig, DialError, Event, Host, HostConfig, Listener, Stream};

use crate::common::bytes::{Digester, pattern_digest, write_pattern};
use crate::common::services::echo;

/// A host with a service of this program's own, and a client of it.
fn pair(change: impl FnOnce(&mut HostConfig)) -> (Host, Listener, Client) {
    let mut config = HostConfig::new();
    let listener = config.serve("own").unwrap();
    change(&mut config);
    let host = Host::start(config, |_| {}).unwrap();
    let client = join(&host);
    (host, listener, client)
}

fn join(host: &Host) -> Client {
    Client::start(ClientConfig::from_url(host.url().unwrap()).unwrap(), |_| {}).unwrap()
}

fn read(stream: &mut Stream) -> Result<String, ErrorKind> {
    let mut text = String::new();
    stream.read_to_string(&mut text).map(|_| text).map_err(|error| error.kind())
}

#[test]
fn streams_carry_every_byte_both_ways_and_end_in_order() {
    const LEN: u64 = 20_000_000;
    let (host, listener, client) = pair(|_| {});
    let serving = thread::spawn(move || {
        let mut stream = listener.accept().unwrap();
        let mut digest = Digester::default();
        std::io::copy(&mut stream, &mut digest).unwrap();
        write_pattern(&mut stream, LEN).unwrap();
        digest.finish()
    });
    let mut stream = client.connect("own").unwrap();
    write_pattern(&mut stream, LEN).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut digest = Digester::default();
    std::io::copy(&mut stream, &mut digest).unwrap();
    assert_eq!(digest.finish(), (LEN, pattern_digest(LEN)));
    assert_eq!(serving.join().unwrap(), (LEN, pattern_digest(LEN)));
    client.stop();
    client.wait().unwrap();
    host.stop();
    host.wait().unwrap();
}

#[test]
fn a_reset_is_never_an_end() {
    let (host, listener, client) = pair(|_| {});
    let mut near = client.connect("own").unwrap();
    let mut far = listener.accept().unwrap();
    far.write_all(b"part").unwrap();
    let mut part = [0; 4];
    near.read_exact(&mut part).unwrap();
    far.reset();
    assert_eq!(read(&mut near), Err(ErrorKind::ConnectionReset));
    // So is the end of a whole host.
    let mut near = client.connect("own").unwrap();
    let _far = listener.accept().unwrap();
    drop(host);
    assert_eq!(read(&mut near), Err(ErrorKind::ConnectionReset));
    assert!(matches!(client.connect("own"), Err(DialError::Ended)), "the client has ended with its host");
    assert_eq!(client.wait().unwrap_err().code(), "host-ended");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let closed = "127.0.0.1:1";
    let allowed = echo();
    let (_host, listener, client) = pair(|config| {
        config.services.push(SharedService::new("closed", closed.parse().unwrap()));
        config.services.push(SharedService::new("time", "udp:127.0.0.1:9".parse().unwrap()));
        config.allow = AccessList::parse([allowed.to_string()]).unwrap();
    });
    let error = client.connect("nope").unwrap_err();
    assert_eq!(error.to_string(), "the host has no service \"nope\"; it has: closed, time, own");
    assert!(client.connect("time").unwrap_err().to_string().contains("datagrams"));
    assert_eq!(client.connect("closed").unwrap_err(), DialError::Failed(AbortReason::Refused));
    let denied = client.dial(&Endpoint::Tcp(closed.parse().unwrap())).unwrap_err();
    assert_eq!(denied, DialError::Failed(AbortReason::Denied));
    assert_eq!(std::io::Error::from(denied).kind(), ErrorKind::PermissionDenied);
    let mut stream = client.dial(&Endpoint::Tcp(allowed.into())).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut stream).unwrap(), "hello");
    // Nobody accepts, then nobody listens.
    let waiting: Vec<_> = (0..1024).map(|_| client.connect("own").unwrap()).collect();
    assert_eq!(client.connect("own").unwrap_err(), DialError::Failed(AbortReason::Refused));
    drop(waiting);
    drop(listener);
    assert_eq!(client.connect("own").unwrap_err(), DialError::Failed(AbortReason::Refused));
}

#[test]
fn a_stream_has_a_descriptor_and_time_limits() {
    let (_host, listener, client) = pair(|_| {});
    let mut near = client.connect("own").unwrap();
    let mut far = listener.accept_timeout(Duration::from_secs(10)).unwrap();
    near.set_nonblocking(true).unwrap();
    assert_eq!(near.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    far.write_all(b"now").unwrap();
    let mut ready = [nix::poll::PollFd::new(near.as_fd(), nix::poll::PollFlags::POLLIN)];
    assert_eq!(nix::poll::poll(&mut ready, 10_000_u16).unwrap(), 1);
    let mut buffer = [0; 8];
    assert_eq!(near.read(&mut buffer).unwrap(), 3);
    near.set_nonblocking(false).unwrap();
    near.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(near.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn who_may_join_is_the_programs_to_decide() {
    let (decided, decisions): (_, Receiver<String>) = channel();
    let mut config = HostConfig::new();
    let _listener = config.serve("own").unwrap();
    config.approver = Some(Approver::new(move |request| {
        decided.send(request.to_string()).unwrap();
        false
    }));
    let host = Host::start(config, |_| {}).unwrap();
    let client = join(&host);
    let start = Instant::now();
    assert_eq!(client.connect("own").unwrap_err(), DialError::Ended);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(decisions.recv().unwrap().contains("127.0.0.1"));
    let error = client.wait().unwrap_err();
    assert_eq!((error.code(), error.is_temporary()), ("denied", false), "{error}");
}

#[test]
fn settings_that_contradict_each_other_do_not_start() {
    let start = |change: &dyn Fn(&mut HostConfig)| {
        let mut config = HostConfig::sharing("127.0.0.1:1".parse().unwrap());
        change(&mut config);
        Host::start(config, |_| {}).unwrap_err()
    };
    let twice = start(&|config| config.services.push(config.services[0].clone()));
    assert_eq!((twice.code(), twice.to_string().as_str()), ("usage", "there are two services of the name 1"));
    assert!(start(&|config| config.services.clear()).to_string().contains("nothing is shared"));
    assert!(start(&|config| config.max_sessions = 0).to_string().contains("max_sessions"));
    assert!(start(&|config| config.listen = None).to_string().contains("no way in"));
    let mut config = HostConfig::new();
    assert_eq!(config.serve("No").unwrap_err(), ConfigError::ServiceName("No".to_owned()));
    let _listener = config.serve("yes").unwrap();
    assert_eq!(config.serve("yes").unwrap_err(), ConfigError::SameName("yes".to_owned()));
    assert_eq!(ClientConfig::from_url("wss://a.test").unwrap_err(), ConfigError::NoPin);
}

#[test]
fn other_settings_count_beside_what_is_open() {
    let mut config = HostConfig::new();
    let own = config.serve("own").unwrap();
    let (report, events) = pinhole::channel();
    let host = Host::start(config.clone(), report).unwrap();
    let client = join(&host);
    let changed = || {
        let of = |event| if let Event::Reloaded { changed, .. } = event { Some(changed.join(", ")) } else { None };
        events.iter().find_map(of).unwrap()
    };
    let mut far = client.connect("own").unwrap();
    let mut near = own.accept().unwrap();

    // Another service of this program comes, then the first goes. What is open goes on.
    let more = config.serve("more").unwrap();
    host.reload(config.clone());
    assert_eq!(changed(), "service more added");
    let late = join(&host);
    drop(late.connect("more").unwrap());
    assert!(more.accept().is_some());
    let mut others = HostConfig::sharing(echo().to_string().parse().unwrap());
    let _third = others.serve("third").unwrap();
    host.reload(others);
    let said = changed();
    assert!(said.ends_with("added, service own removed, service more removed"), "{said}");
    assert_eq!(client.connect("own").unwrap_err(), DialError::Failed(AbortReason::UnknownService));
    near.write_all(b"still there").unwrap();
    drop(near);
    assert_eq!(read(&mut far).as_deref(), Ok("still there"));

    // What makes no sense changes nothing.
    host.reload(HostConfig::new());
    let refused = |event: Event| match event {
        Event::Warning { code, message, .. } if code == "reload" => Some(message),
        _ => None,
    };
    let message = events.iter().find_map(refused).unwrap();
    assert!(message.starts_with("the settings stay as they were: nothing is shared"), "{message}");
}

#[test]
fn dropping_a_handle_ends_its_run_and_closes_its_channel() {
    let mut config = HostConfig::new();
    let _listener = config.serve("own").unwrap();
    let (report, events) = pinhole::channel();
    let host = Host::start(config, report).unwrap();
    let client = join(&host);
    drop(client.connect("own").unwrap());
    let start = Instant::now();
    drop(client);
    drop(host);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let events: Vec<Event> = events.iter().collect();
    let has = |fits: fn(&Event) -> bool| events.iter().any(fits);
    assert!(has(|event| matches!(event, Event::Connected { .. })), "{events:?}");
    assert!(has(|event| matches!(event, Event::Disconnected { .. })), "{events:?}");
}
