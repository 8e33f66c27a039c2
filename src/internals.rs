//! What the tests, benches and fuzz targets of this repository reach into. It is no part of the API, and changes with
//! every release. Whatever is missing here is private, so the compiler sees what nobody uses.

pub mod access {
    pub use crate::access::{AccessList, ReverseAccess, ReverseRule, Rule, Verdict};
}
pub mod address {
    pub use crate::address::{Bind, Endpoint, Protocol, Target};
}
#[cfg(feature = "cli")]
pub mod cli {
    pub use crate::cli::{forwards, quantity, run, services};
}
#[cfg(feature = "server")]
pub mod cluster {
    pub use crate::cluster::message::{Arrived, Here, Names, Sealing};
    pub use crate::cluster::{Secrets, ServerId, Tag, greeting};
}
pub mod config {
    pub use crate::config::{
        ClientConfig, GatewayConfig, HostConfig, LocalForward, PublicService, Rate, Registration, ServerConfig,
        SharedService,
    };
}
pub mod control {
    pub use crate::control::{Door, Order, Reader, Reading, Wanted, invitation, understand};
}
#[cfg(feature = "server")]
pub mod gateway {
    pub use crate::gateway::{
        Ending, Exchange, Finished, Kind, MAX_TO_BROWSER, MAX_TO_SERVICE, Refusal, Route, Stage, Visitor,
    };
}
pub mod http {
    pub mod proxy {
        pub use crate::http::proxy::{Proxy, ProxyVariables};
    }
}
pub mod net {
    pub use crate::net::tls;
    pub mod interfaces {
        pub use crate::net::interfaces::{MAX_IPV4, offered_addresses, usable_addresses};
    }
    #[cfg(feature = "cli")]
    pub mod limits {
        pub use crate::net::limits::raise_descriptor_limit;
    }
    pub mod listen {
        pub use crate::net::listen::{Accepted, accept, listen};
    }
    pub mod watch {
        pub use crate::net::watch::InterfaceWatch;
    }
    pub mod websocket {
        pub use crate::net::websocket::{
            Admission, Incoming, IncomingEvent, MAX_MESSAGE, Phase, ProxyProblem, UpgradeRequest, WebSocket,
            WebSocketError, WebSocketEvent,
        };
    }
}
pub mod peer {
    pub use crate::peer::Connection;
    pub mod stun {
        pub use crate::peer::stun::{GIVE_UP, Gatherer, MAX_SERVERS, MAX_SOCKETS, Request};
    }
}
pub mod run {
    #[cfg(unix)]
    pub use crate::run::DialError;
    #[cfg(feature = "server")]
    pub use crate::run::Server;
    pub use crate::run::{Client, Host, Reporter, RunError, Stopper};
}
pub mod session {
    pub use crate::session::{End, Event, OPEN_TIMEOUT, Path, Reach, Session, Signal};
}
pub mod shares {
    pub use crate::shares::Source;
}
pub mod signaling {
    pub use crate::signaling::{ResumeKey, SessionId, Ticket};
    pub mod binary {
        pub use crate::signaling::binary::Binary;
    }
    pub mod error {
        pub use crate::signaling::error::{SignalingError, Violation};
    }
    pub mod farewell {
        pub use crate::signaling::farewell::Farewell;
    }
    pub mod handshake {
        pub use crate::signaling::handshake::{ClientHandshake, ClientStep, Established, HostHandshake, HostStep};
    }
    pub mod limiter {
        pub use crate::signaling::limiter::GuessLimiter;
    }
    pub mod message {
        pub use crate::signaling::message::{ClientMessage, HostMessage, Inner, Outer};
    }
    pub mod pin {
        pub use crate::signaling::pin::Pin;
    }
    pub mod rendezvous {
        pub use crate::signaling::rendezvous::{
            FromHost, FromServer, HostId, Instance, Packet, Payload, Register, Token, instance,
        };
    }
    pub mod resume {
        pub use crate::signaling::resume::{ClientResume, HostResume};
    }
    pub mod url {
        pub use crate::signaling::url::SignalingUrl;
    }
}
pub mod socks {
    pub use crate::socks::{Credentials, Negotiation, Refusal, Request, datagram};
}
pub mod status {
    pub mod event {
        pub use crate::status::event::{Event, StreamEnd, Way};
    }
}
pub mod tunnel {
    pub use crate::tunnel::{
        AbortReason, ChunkPool, Config, ConnectTarget, Dropped, Event, Generation, GoAwayReason, Hello, Mux, OpenError,
        Origin, Outbound, Role, Room, Sequence, Service, StreamId, StreamKey, StreamMut, Trail,
    };
    pub mod chunk {
        pub use crate::tunnel::chunk::MAX_DATAGRAM;
    }
    pub mod credit {
        pub use crate::tunnel::credit::{MAX_WINDOW, cost};
    }
    pub use crate::tunnel::frame;
    pub mod hello {
        pub use crate::tunnel::hello::VERSION;
    }
    pub mod mux {
        pub use crate::tunnel::mux::{DRAIN, MAX_LISTENS};
    }
    pub mod reorder {
        pub use crate::tunnel::reorder::{Arrival, Reorder};
    }
}
