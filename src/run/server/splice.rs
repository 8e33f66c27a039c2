//! Streams from another server of the cluster to hosts of this one: an order decides which host, and then the bytes of
//! the one stream go into the other.

use super::cluster::{Half, Pair};
use super::quota::MAX_STREAMS;
use super::{Access, Server};
use crate::cluster::message::{MOVED, Order, Wanted};
use crate::run::connections::stream_hash;
use crate::run::keys::{LinkKey, SessionKey};
use crate::tunnel::{self, AbortReason, ConnectTarget};

impl Server {
    /// Handles an event of a stream that the cluster knows. Returns whether it does.
    pub(super) fn handle_cluster_stream(&mut self, session: SessionKey, event: &tunnel::Event) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let key = match event {
            tunnel::Event::Opened(key, target) => {
                self.handle_order((session, *key), target);
                return true;
            }
            tunnel::Event::Readable(key)
            | tunnel::Event::Writable(key)
            | tunnel::Event::Accepted(key)
            | tunnel::Event::Aborted { key, .. } => *key,
            _ => return false,
        };
        let half = (session, key);
        if let Some(&client) = cluster.clients.get(&half) {
            self.handle_distant(client, half, event);
        } else if let Some(&Pair { other, .. }) = cluster.pairs.get(&half) {
            self.handle_spliced(half, other, event);
        } else {
            return false;
        }
        true
    }

    /// Handles the target of a stream that another server opened.
    fn handle_order(&mut self, half: Half, target: &ConnectTarget) {
        let ConnectTarget::Tcp(text) = target else { return self.abort_half(half, AbortReason::Protocol, "") };
        let Some(Order { id, epoch, to }) = Order::parse(text) else {
            return self.abort_half(half, AbortReason::Protocol, "that is no order");
        };
        if !self.admits_orders() {
            return self.abort_half(half, AbortReason::Shutdown, "");
        }
        let Some(link) = self.meant(&id, epoch) else { return self.abort_half(half, AbortReason::Gone, MOVED) };
        let target = match to {
            Wanted::Client(remote) => return self.take_guest(half, link, id, remote),
            Wanted::Service(wanted) => {
                // Whoever wrote another login into the directory lets nobody in.
                if self.host(link).and_then(|host| host.public.as_ref()) != Some(&wanted) {
                    return self.abort_half(half, AbortReason::Gone, MOVED);
                }
                ConnectTarget::Service(wanted.service)
            }
            Wanted::Target(target) => ConnectTarget::Tcp(target),
            Wanted::Dial(token, target) => {
                let Access::Tokens(tokens) = &self.access else {
                    return self.abort_half(half, AbortReason::Denied, "");
                };
                let grant = tokens.find_hash(&token.0);
                if !grant.is_some_and(|grant| grant.dial && grant.owns(&id)) {
                    return self.abort_half(half, AbortReason::Denied, "the token may not dial there");
                }
                ConnectTarget::Tcp(target)
            }
        };
        let dials = self.host(link).is_some_and(|host| host.dials);
        if matches!(target, ConnectTarget::Tcp(_)) && !dials {
            return self.abort_half(half, AbortReason::Denied, "");
        }
        self.splice(half, link, &target);
    }

    /// Opens a stream to a host of this server, and joins both.
    fn splice(&mut self, half: Half, link: LinkKey, target: &ConnectTarget) {
        let Some(session) = self.session_of(link) else { return self.abort_half(half, AbortReason::Shutdown, "") };
        let trail = self.stream_of(half).map(|mut stream| stream.take_trail()).unwrap_or_default();
        self.opened += 1;
        let flow = self.opened.to_string();
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let hash = stream_hash(&entry.salt, &flow);
        let mux = entry.session.mux();
        let opened = (mux.stream_count() < MAX_STREAMS).then(|| mux.open_from(hash, target, &trail).ok()).flatten();
        let Some(key) = opened else { return self.abort_half(half, AbortReason::TooManyStreams, "") };
        self.core.sessions.touch(session);
        self.metrics.crossed.streams.from_peers += 1;
        let other = (session, key);
        if let Some(cluster) = &mut self.cluster {
            cluster.pairs.insert(half, Pair { other, is_done: false });
            cluster.pairs.insert(other, Pair { other: half, is_done: false });
        }
    }

    fn handle_spliced(&mut self, half: Half, other: Half, event: &tunnel::Event) {
        match event {
            tunnel::Event::Accepted(_) => {
                self.stream_of(other).into_iter().for_each(|mut stream| stream.accept());
                self.core.sessions.touch(other.0);
            }
            tunnel::Event::Readable(_) => self.pass_on(half, other),
            tunnel::Event::Writable(_) => self.pass_on(other, half),
            tunnel::Event::Aborted { reason, detail, .. } => {
                self.part(half, other);
                self.abort_half(other, *reason, detail);
            }
            _ => {}
        }
    }

    /// Moves bytes from one half to the other while there is room, and the end after them.
    fn pass_on(&mut self, from: Half, to: Half) {
        let mut has_moved = false;
        loop {
            let capacity = self.stream_of(to).map_or(0, |mut stream| stream.poll_send_capacity());
            if capacity == 0 {
                break;
            }
            let mut chunk = self.core.pool.take();
            let Some(mut stream) =
                self.core.sessions.get_mut(from.0).and_then(|entry| entry.session.mux().stream(from.1))
            else {
                self.core.pool.recycle(chunk);
                break;
            };
            let len = stream.readable().next().map_or(0, |bytes| {
                let len = bytes.len().min(capacity).min(chunk.room_mut().len());
                chunk.room_mut()[..len].copy_from_slice(&bytes[..len]);
                len
            });
            if len == 0 {
                self.core.pool.recycle(chunk);
                break;
            }
            stream.consume(len);
            chunk.set_len(len);
            let chunk = self.core.pool.fit(chunk);
            let sent = self.stream_of(to).map(|mut stream| stream.send(chunk));
            if let Some(Err(chunk)) = sent {
                self.core.pool.recycle(chunk);
                break;
            }
            has_moved = true;
        }
        if self.stream_of(from).is_some_and(|mut stream| stream.poll_end()) {
            has_moved = true;
            self.stream_of(to).into_iter().for_each(|mut stream| stream.finish());
            let pairs = self.cluster.as_mut().map(|cluster| &mut cluster.pairs);
            let is_done = pairs.is_none_or(|pairs| {
                pairs.entry(from).and_modify(|pair| pair.is_done = true);
                pairs.get(&to).is_none_or(|pair| pair.is_done)
            });
            if is_done {
                self.part(from, to);
            }
        }
        if has_moved {
            self.core.sessions.touch(from.0);
            self.core.sessions.touch(to.0);
        }
    }

    fn part(&mut self, half: Half, other: Half) {
        if let Some(cluster) = &mut self.cluster {
            cluster.pairs.remove(&half);
            cluster.pairs.remove(&other);
        }
    }

    pub(super) fn abort_half(&mut self, (session, key): Half, reason: AbortReason, detail: &str) {
        if let Some(stream) = self.stream_of((session, key)) {
            stream.abort(reason, detail);
            self.core.sessions.touch(session);
        }
    }

    pub(super) fn stream_of(&mut self, (session, key): Half) -> Option<tunnel::StreamMut<'_>> {
        self.core.sessions.get_mut(session)?.session.mux().stream(key)
    }
}
