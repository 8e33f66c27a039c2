//! Common parts of the gateway's tests: a browser, an owner and a service around one exchange.

use super::{Ending, Exchange, Finished, Kind, MAX_TO_BROWSER, MAX_TO_SERVICE, Request, Route, Visitor};

/// An exchange, and its output.
pub(super) struct Talk {
    pub(super) exchange: Exchange,
    /// Bytes the service received.
    pub(super) service: Vec<u8>,
    /// Bytes the browser received.
    pub(super) browser: Vec<u8>,
    pub(super) finished: Vec<Finished>,
}

impl Talk {
    pub(super) fn new(kind: Kind) -> Talk {
        let visitor = Visitor { remote: [203, 0, 113, 9].into(), tls: true, proxies: Default::default() };
        let exchange = Exchange::new(kind, visitor);
        Talk { exchange, service: Vec::new(), browser: Vec::new(), finished: Vec::new() }
    }

    pub(super) fn web() -> Talk {
        Talk::new(Kind::Web)
    }

    pub(super) fn proxy() -> Talk {
        Talk::new(Kind::Proxy)
    }

    /// A web exchange whose only request was routed and sent.
    pub(super) fn routed(request: &str) -> Talk {
        let mut talk = Talk::web();
        talk.says(request);
        talk.take_request();
        talk.route();
        talk
    }

    /// Takes both outputs at once, like peers that read.
    pub(super) fn drain(&mut self) {
        loop {
            assert!(self.exchange.to_service().len() <= MAX_TO_SERVICE);
            assert!(self.exchange.to_browser().len() <= MAX_TO_BROWSER);
            let (service, browser) = (self.exchange.to_service().to_vec(), self.exchange.to_browser().to_vec());
            if service.is_empty() && browser.is_empty() {
                break;
            }
            self.service.extend_from_slice(&service);
            self.browser.extend_from_slice(&browser);
            self.exchange.handle_sent_to_service(service.len());
            self.exchange.handle_sent_to_browser(browser.len());
        }
        self.finished.extend(std::iter::from_fn(|| self.exchange.poll_finished()));
    }

    /// The browser sends. Returns how much of it was accepted.
    pub(super) fn says(&mut self, text: impl AsRef<[u8]>) -> usize {
        let mut rest = text.as_ref();
        while !rest.is_empty() && self.exchange.room() > 0 {
            let (piece, behind) = rest.split_at(rest.len().min(self.exchange.room()));
            self.exchange.handle_bytes(piece);
            self.drain();
            rest = behind;
        }
        text.as_ref().len() - rest.len()
    }

    /// The service sends. All of it must be accepted.
    pub(super) fn answers(&mut self, text: impl AsRef<[u8]>) {
        let mut rest = text.as_ref();
        while !rest.is_empty() {
            let room = self.exchange.service_room();
            if room == 0 {
                assert_ne!(self.exchange.service_ending(), None, "nothing is accepted, without an ending");
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(room));
            self.exchange.handle_service(piece);
            self.drain();
            rest = behind;
        }
    }

    pub(super) fn ends(&mut self) {
        self.exchange.handle_end();
        self.drain();
    }

    pub(super) fn service_ends(&mut self) {
        self.exchange.handle_service_end();
        self.drain();
    }

    #[track_caller]
    pub(super) fn take_request(&mut self) -> Request {
        self.exchange.poll_request().expect("a request waits")
    }

    pub(super) fn route(&mut self) {
        self.exchange.route(Route { fresh: true, strip_authorization: false });
        self.drain();
    }

    pub(super) fn route_again(&mut self) {
        assert!(self.exchange.keeps_service());
        self.exchange.route(Route { fresh: false, strip_authorization: false });
        self.drain();
    }

    pub(super) fn refuse(&mut self, refusal: super::Refusal) {
        self.exchange.refuse(refusal);
        self.drain();
    }

    /// Returns the bytes that the service received since the last call.
    pub(super) fn at_service(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.service)).unwrap()
    }

    /// Returns the bytes that the browser received since the last call.
    pub(super) fn at_browser(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.browser)).unwrap()
    }

    /// The status the browser received.
    pub(super) fn status(&self) -> Option<u16> {
        let line = std::str::from_utf8(self.browser.get(..12)?).ok()?;
        line.strip_prefix("HTTP/1.1 ")?.parse().ok()
    }

    pub(super) fn endings(&self) -> (Option<Ending>, Option<Ending>) {
        (self.exchange.service_ending(), self.exchange.browser_ending())
    }
}
