//! Hosts and clients made by hand.

use std::io;
use std::net::{SocketAddr, TcpStream};

use pinhole::internals::signaling::rendezvous::{FromHost, FromServer, Instance, Packet, Payload, Register, instance};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Error, Message, WebSocket};

use crate::common::connect;

/// A WebSocket to a server.
pub(crate) struct Raw(pub(crate) WebSocket<TcpStream>);

/// A host `myhost`, a client of it that said hello, and the number of their conversation.
#[track_caller]
pub(crate) fn conversation(server: SocketAddr) -> (Raw, Raw, u32) {
    let (mut host, mut client) = (Raw::host(server, "myhost"), Raw::client(server, "myhost"));
    client.text("hello");
    let number = host.joined();
    assert_eq!(host.packet(), Packet { conversation: number, payload: Payload::Text("hello".to_owned()) });
    (host, client, number)
}

/// How a server gave a WebSocket up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Raw {
    pub(crate) fn connect(server: SocketAddr, path: &str) -> Raw {
        Raw::on(connect(server), path)
    }

    /// The same on a connection from anywhere.
    pub(crate) fn on(stream: TcpStream, path: &str) -> Raw {
        Raw::try_on(stream, path).unwrap()
    }

    /// The same where the server may give it up meanwhile.
    pub(crate) fn try_on(stream: TcpStream, path: &str) -> Option<Raw> {
        let server = stream.peer_addr().ok()?;
        let mut request = format!("ws://{server}{path}").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "pinhole-signal.1".parse().unwrap());
        Some(Raw(tungstenite::client(request, stream).ok()?.0))
    }

    /// A client of a host, which did not say anything yet.
    pub(crate) fn client(server: SocketAddr, id: &str) -> Raw {
        Raw::connect(server, &format!("/ws/{id}"))
    }

    /// A host that is registered.
    pub(crate) fn host(server: SocketAddr, id: &str) -> Raw {
        let mut host = Raw::asking(server, id, None, instance());
        host.is_registered();
        host
    }

    /// A host that asks for an id.
    pub(crate) fn asking(server: SocketAddr, id: &str, token: Option<&str>, instance: Instance) -> Raw {
        let mut host = Raw::connect(server, "/host");
        host.text(register(id, token, instance));
        host
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    #[track_caller]
    pub(crate) fn is_registered(&mut self) {
        let answer = self.next_from_server();
        assert_eq!(answer, FromServer::Registered { version: 1, web: None });
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into()));
    }

    pub(crate) fn binary(&mut self, bytes: impl Into<Vec<u8>>) {
        self.send(Message::binary(bytes.into()));
    }

    /// Says something in a conversation, as a host does.
    pub(crate) fn say(&mut self, conversation: u32, text: &str) {
        self.binary(Packet { conversation, payload: Payload::Text(text.to_owned()) }.encode());
    }

    /// The server may have closed it before everything was taken.
    fn send(&mut self, message: Message) {
        match self.0.send(message) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
            Err(Error::Io(error)) => assert!(is_cut(&error), "{error}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until the server has taken everything that was sent; what it says before that is passed over.
    pub(crate) fn is_taken(&mut self) {
        self.send(Message::Ping("taken?".into()));
        while !matches!(self.0.read().unwrap(), Message::Pong(_)) {}
    }

    /// Takes the next message that is not the WebSocket's own.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Message {
        loop {
            match self.0.read().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    #[track_caller]
    pub(crate) fn next_text(&mut self) -> String {
        match self.next() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the next text of the server's own.
    #[track_caller]
    pub(crate) fn next_from_server(&mut self) -> FromServer {
        let text = self.next_text();
        FromServer::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Takes what a client said next, as a host gets it.
    #[track_caller]
    pub(crate) fn packet(&mut self) -> Packet {
        match self.next() {
            Message::Binary(bytes) => Packet::decode(bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Takes the announcement of a client and returns the conversation's number; the end of others is passed over.
    #[track_caller]
    pub(crate) fn joined(&mut self) -> u32 {
        loop {
            match self.next_from_server() {
                FromServer::Joined { conversation, .. } => return conversation,
                FromServer::Left { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until the server gives it up, and closes; what it said before is passed over.
    #[track_caller]
    pub(crate) fn refused(mut self) -> Refused {
        loop {
            if let Message::Text(text) = self.next()
                && let Ok(FromServer::Error(error)) = FromServer::parse(&text)
            {
                assert!(matches!(self.next(), Message::Close(Some(_))));
                return Refused { code: error.code.as_str().to_owned(), message: error.message };
            }
        }
    }

    /// Waits until it is closed, and returns the code; without a closing handshake there is none.
    pub(crate) fn closed(mut self) -> Option<u16> {
        loop {
            match self.0.read() {
                Ok(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_)) => return None,
                Err(Error::Io(error)) => {
                    assert!(is_cut(&error), "{error}");
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The text that asks for an id.
pub(crate) fn register(id: &str, token: Option<&str>, instance: Instance) -> String {
    let token = token.map(|token| token.parse().unwrap());
    let register = Register { versions: vec![1], id: id.parse().unwrap(), token, instance, public: None, dial: false };
    FromHost::Register(register).to_text()
}

fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted)
}
