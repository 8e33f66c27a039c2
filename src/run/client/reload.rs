//! Settings of a client that are read again. Connections go on as they began; ports open and close, and whoever
//! connects next goes by what is set then.

use super::Client;
use super::local::shown;
use crate::config::{ClientConfig, LocalForward, ReverseForward};
use crate::run::reload::{Differences, Outcome, Reread};
use crate::socks::Credentials;

/// Settings to go by, and how they differ from those so far.
struct Plan {
    config: ClientConfig,
    differences: Differences,
}

/// Compares what is wanted with what there is.
fn compare(present: &ClientConfig, wanted: ClientConfig) -> Plan {
    let mut differences = Differences::default();
    let found = &mut differences;
    // No field is left out by mistake: the struct may not be taken apart or made with `..` here.
    let ClientConfig {
        url,
        others,
        pin,
        forwards,
        reverse,
        bounds,
        dynamic,
        credentials,
        udp_idle,
        ca,
        headers,
        proxy,
        once,
        retry,
        reach,
        stun,
        control,
    } = wanted;
    found.lists(&present.forwards, &forwards, forward);
    found.lists(&present.dynamic, &dynamic, |address| format!("proxy at {address}"));
    found.lists(&present.reverse, &reverse, |reverse| {
        format!("reverse forward of {} to {}", reverse.bind, reverse.endpoint)
    });
    // A pin is that of one host.
    let pin = match present.url == url {
        true => found.take("pin", &present.pin, pin),
        false => found.leave("pin", &present.pin, &pin),
    };
    let hash = |login: &Option<Credentials>| login.as_ref().map(|login| *login.hash());
    found.take("proxy-auth", &hash(&present.credentials), hash(&credentials));
    let config = ClientConfig {
        url: found.leave("url", &present.url, &url),
        others: found.leave("server", &present.others, &others),
        pin,
        forwards,
        reverse,
        bounds: found.bounds(&present.bounds, bounds),
        dynamic,
        credentials,
        udp_idle: found.take("udp-idle", &present.udp_idle, udp_idle),
        ca: found.leave("ca", &present.ca, &ca),
        headers: found.leave("header", &present.headers, &headers),
        // The environment names it, and which of its variables counts depends on the URL.
        proxy: found.leave("url", &present.proxy, &proxy),
        once: found.take("once", &present.once, once),
        retry: found.take("retry", &present.retry, retry),
        reach: found.reach(&present.reach, reach),
        stun: found.take("stun", &present.stun, stun),
        control: found.control(&present.control, control.as_ref()),
    };
    Plan { config, differences }
}

/// Names a forward.
fn forward(forward: &LocalForward) -> String {
    match forward {
        LocalForward::Every => "every service".to_owned(),
        LocalForward::Only { bind } => format!("the only service at {}", shown(bind)),
        LocalForward::Service { name, bind: None } => format!("service {name}"),
        LocalForward::Service { name, bind: Some(bind) } => format!("service {name} at {}", shown(bind)),
        LocalForward::Dial { bind, endpoint } => format!("forward of {bind} to {endpoint}"),
    }
}

impl Differences {
    /// Notes what comes and goes.
    fn lists<T: PartialEq>(&mut self, present: &[T], wanted: &[T], name: impl Fn(&T) -> String) {
        for added in wanted.iter().filter(|wanted| !present.contains(wanted)) {
            self.note(format!("{} added", name(added)));
        }
        for gone in present.iter().filter(|present| !wanted.contains(present)) {
            self.note(format!("{} removed", name(gone)));
        }
    }
}

impl Client {
    /// Has the settings read again, unless the run is ending.
    #[cfg(feature = "cli")]
    pub(super) fn begin_reload(&mut self) {
        if !self.is_stopping() && self.local.is_open() {
            self.reloading.begin(&mut self.core.turn);
        }
    }

    /// Goes by what was read.
    pub(super) fn finish_reload(&mut self) {
        while let Some(read) = self.reloading.poll() {
            self.reload(read);
        }
    }

    /// Goes by other settings, as far as that can be without a restart, and says so.
    pub(in crate::run) fn reload(&mut self, read: Result<Reread<ClientConfig>, String>) {
        // The host may have announced the end of the run.
        if self.is_stopping() || !self.local.is_open() {
            return;
        }
        let outcome = read.map(|Reread { config, left }| {
            let mut plan = compare(&self.config, config);
            left.iter().for_each(|name| plan.differences.put_off(name));
            Some(self.follow(plan))
        });
        self.core.turn.reload_ends(outcome);
    }

    fn follow(&mut self, plan: Plan) -> Outcome {
        let Plan { config, differences } = plan;
        let before = std::mem::replace(&mut self.config, config);
        let config = &self.config;
        self.core.flows.idle = config.udp_idle;
        self.core.set_ways(config.reach.clone(), config.stun.clone());
        if before.bounds.rate != config.bounds.rate {
            self.core.sessions.set_rate(config.bounds.rate);
        }
        if before.pin != config.pin {
            self.joining.pin_changed();
        }
        self.change_reverse();
        self.change_ports(&before);
        differences.outcome(None)
    }

    /// Asks the host to listen for new reverse forwards. The host goes on listening for those that are gone until the
    /// session ends, and what comes from there is refused here. A number that the host was told is given to no other
    /// forward.
    fn change_reverse(&mut self) {
        let told = &mut self.core.dialer.reverse;
        let wanted = &self.config.reverse;
        for entry in told.iter_mut() {
            let bind = entry.as_ref().map(|entry| entry.bind.clone());
            *entry = bind.and_then(|bind| wanted.iter().find(|reverse| reverse.bind == bind).cloned());
        }
        let is_new = |reverse: &&ReverseForward| told.iter().flatten().all(|known| known.bind != reverse.bind);
        let new: Vec<_> = wanted.iter().filter(is_new).cloned().collect();
        told.extend(new.into_iter().map(Some));
        if let Some(session) = self.session.filter(|_| self.local.is_connected) {
            self.ask_to_listen(session);
        }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
