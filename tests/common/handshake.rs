//! The signaling exchange of two sides with the same pin, without a network.

use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep, Established, HostHandshake, HostStep};
use pinhole::internals::signaling::pin::Pin;

/// Runs the real handshake; the host's result comes first.
pub(crate) fn handshake() -> [Established; 2] {
    let pin = Pin::new("123456").expect("a pin is not empty");
    let (mut client, hello) = ClientHandshake::start(&pin);
    let mut host = HostHandshake::new();
    let Ok(HostStep::Send(hello)) = host.handle_text(&hello, &pin) else { panic!("no hello") };
    let Ok(ClientStep::Send(confirm)) = client.handle_text(&hello) else { panic!("no confirm") };
    let Ok(HostStep::Verify) = host.handle_text(&confirm, &pin) else { panic!("nothing to verify") };
    let (confirm, at_host) = host.verify().expect("both have the pin");
    let Ok(ClientStep::Done(at_client)) = client.handle_text(&confirm) else { panic!("not done") };
    [at_host, at_client]
}
