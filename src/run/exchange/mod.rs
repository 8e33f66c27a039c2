//! What an [`Exchange`](crate::gateway::Exchange) is joined to, on a server as at a client's `-D` port: the connection
//! of a browser or another program ([`Visit`]), and the stream that carries its requests ([`RequestStream`]).

mod pace;
mod stream;
mod visit;

pub(super) use stream::RequestStream;
pub(super) use visit::Visit;
