//! Settings of a host that are read again. What is open goes on by what it was opened with. What a live session was
//! told of services stays, and whoever comes next is told anew.

use std::collections::HashMap;

use super::entrance::Before;
use super::links::Phase;
use super::reverse::{ReverseKey, ReverseListener};
use super::{Host, remark, server_access};
use crate::address::Protocol;
#[cfg(unix)]
use crate::config::ProgramService;
use crate::config::{Credentials, HostConfig, Invitation, MAX_SERVICES, PublicService, Registration, SharedService};
use crate::run::reload::{Differences, Outcome, Reread};
use crate::signaling::pin::Pin;

/// Settings to go by, and how they differ from those so far.
struct Plan {
    config: HostConfig,
    differences: Differences,
    is_pin_new: bool,
    is_invitation_new: bool,
}

/// What a host publishes: the name of the service, and who may visit it. The server was told of it, so it stays the
/// same for the whole run. A service that is gone is not reached, and one that comes back is again.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    name: String,
    auth: Option<Credentials>,
}

impl Publication {
    /// Returns what settings publish.
    pub(super) fn of(config: &HostConfig) -> Option<Publication> {
        let public = config.server.as_ref()?.public.as_ref()?;
        let name = config.service_name(public.service)?.to_owned();
        Some(Publication { name, auth: public.auth.clone() })
    }
}

/// Compares what is wanted with what there is, and with what has been published since the start.
fn compare(present: &HostConfig, publication: Option<&Publication>, wanted: HostConfig) -> Plan {
    let mut differences = Differences::default();
    let found = &mut differences;
    let published = Publication::of(&wanted);
    // No field is left out by mistake: neither struct may be taken apart or made with `..` here.
    let HostConfig {
        services,
        #[cfg(unix)]
        programs,
        allow,
        allow_reverse,
        bounds,
        udp_idle,
        listen,
        public_url,
        server,
        pin,
        invitations,
        once,
        max_sessions,
        approver,
        reach,
        stun,
        control,
    } = wanted;
    let is_pin_new = present.pin != pin;
    let is_invitation_new = is_pin_new || present.services != services || present.public_url != public_url;
    found.services(&present.services, &services);
    found.invitations(&present.invitations, &invitations);
    let server = match (&present.server, server) {
        (Some(own), Some(wanted)) => Some(registration(found, (own, publication), (wanted, published.as_ref()))),
        (None, None) => None,
        (own, _) => {
            found.put_off("server");
            own.clone()
        }
    };
    if present.approver.is_some() != approver.is_some() {
        found.put_off("ask");
    }
    #[cfg(unix)]
    found.programs(&present.programs, &programs);
    let mut config = HostConfig {
        server,
        services,
        #[cfg(unix)]
        programs,
        allow: found.take("allow", &present.allow, allow),
        allow_reverse: found.take("allow-reverse", &present.allow_reverse, allow_reverse),
        bounds: found.bounds(&present.bounds, bounds),
        udp_idle: found.take("udp-idle", &present.udp_idle, udp_idle),
        listen: found.leave("listen", &present.listen, &listen),
        public_url: found.take("public-url", &present.public_url, public_url),
        pin: found.take("pin", &present.pin, pin),
        invitations,
        once: found.take("once", &present.once, once),
        max_sessions: found.take("max-sessions", &present.max_sessions, max_sessions),
        approver: present.approver.clone(),
        reach: found.reach(&present.reach, reach),
        stun: found.take("stun", &present.stun, stun),
        control: found.control(&present.control, control.as_ref()),
    };
    renumber(&mut config, publication);
    Plan { config, differences, is_pin_new, is_invitation_new }
}

/// Compares registrations, each with what it publishes. What the server was told stays: another
/// registration would cut off the clients that come through it.
fn registration(
    found: &mut Differences,
    (present, own): (&Registration, Option<&Publication>),
    (wanted, other): (Registration, Option<&Publication>),
) -> Registration {
    let Registration { server, others, id, token, public: _, dial, ca, headers, proxy, retry } = wanted;
    if own.map(|own| &own.name) != other.map(|other| &other.name) {
        found.put_off("public");
    }
    let login = |publication: Option<&Publication>| publication?.auth.as_ref().map(|auth| *auth.hash());
    // A token is for one name on these servers, and no other server may see it.
    let is_elsewhere = (&present.server, &present.others, &present.id) != (&server, &others, &id);
    if login(own) != login(other) {
        found.put_off("public-auth");
    }
    Registration {
        server: found.leave("server", &present.server, &server),
        others: found.leave("server", &present.others, &others),
        id: found.leave("id", &present.id, &id),
        token: match is_elsewhere {
            true => found.leave("token", &present.token, &token),
            false => found.take("token", &present.token, token),
        },
        public: present.public.clone(),
        dial: found.leave("server-dial", &present.dial, &dial),
        ca: found.leave("ca", &present.ca, &ca),
        headers: found.leave("header", &present.headers, &headers),
        // The environment names it, and which of its variables counts depends on the server.
        proxy: found.leave("server", &present.proxy, &proxy),
        retry: found.take("retry", &present.retry, retry),
    }
}

/// Gives the published service its number among those that are shared now; one that is gone is not published for now.
fn renumber(config: &mut HostConfig, publication: Option<&Publication>) {
    let is_http = |number: &usize| {
        config.services.get(*number).is_none_or(|service| service.endpoint.protocol() == Protocol::Tcp)
    };
    let public = publication.and_then(|Publication { name, auth }| {
        let service = (0..MAX_SERVICES).filter(is_http).find(|number| config.service_name(*number) == Some(name))?;
        Some(PublicService { service, auth: auth.clone() })
    });
    if let Some(registration) = &mut config.server {
        registration.public = public;
    }
}

impl Differences {
    /// Notes which services of this program come and go.
    #[cfg(unix)]
    fn programs(&mut self, present: &[ProgramService], wanted: &[ProgramService]) {
        let is_in = |all: &[ProgramService], one: &ProgramService| all.iter().any(|service| service.name == one.name);
        for added in wanted.iter().filter(|service| !is_in(present, service)) {
            self.note(format!("service {} added", added.name));
        }
        for gone in present.iter().filter(|service| !is_in(wanted, service)) {
            self.note(format!("service {} removed", gone.name));
        }
    }

    /// Notes which invitations begin and end. One that differs in anything ends, and another begins.
    fn invitations(&mut self, present: &[Invitation], wanted: &[Invitation]) {
        let is_in = |all: &[Invitation], label: &str| all.iter().any(|invitation| invitation.label == label);
        for added in wanted.iter().filter(|invitation| !present.contains(invitation)) {
            let label = &added.label;
            self.note(match is_in(present, label) {
                true => format!("invitation {label} replaced"),
                false => format!("invitation {label} added"),
            });
        }
        for gone in present.iter().filter(|invitation| !is_in(wanted, &invitation.label)) {
            self.note(format!("invitation {} removed", gone.label));
        }
    }

    /// Notes which services come, go, and lead elsewhere.
    fn services(&mut self, present: &[SharedService], wanted: &[SharedService]) {
        let by_name = |services: &[SharedService]| -> HashMap<String, SharedService> {
            services.iter().map(|service| (service.name.clone(), service.clone())).collect()
        };
        let (before, after) = (by_name(present), by_name(wanted));
        for service in wanted {
            let name = &service.name;
            match before.get(name) {
                None => self.note(format!("service {name} added")),
                Some(known) if known.endpoint != service.endpoint => {
                    self.note(format!("service {name} leads to {}", service.endpoint));
                }
                Some(known) if known.proxy_protocol != service.proxy_protocol => {
                    self.note(format!("proxy-protocol of {name} changed"));
                }
                Some(_) => {}
            }
        }
        for gone in present.iter().filter(|service| !after.contains_key(&service.name)) {
            self.note(format!("service {} removed", gone.name));
        }
    }
}

impl Host {
    /// Has the settings read again, unless the run is ending.
    #[cfg(feature = "cli")]
    pub(super) fn begin_reload(&mut self) {
        if !self.is_ending() {
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
    pub(in crate::run) fn reload(&mut self, read: Result<Reread<HostConfig>, String>) {
        if self.is_ending() {
            return;
        }
        let outcome = read.and_then(|Reread { config, left }| {
            config.validate().and_then(|()| config.validate_invitations()).map_err(|error| error.to_string())?;
            let mut plan = compare(&self.config, self.publication.as_ref(), config);
            left.iter().for_each(|name| plan.differences.put_off(name));
            Ok(Some(self.follow(plan)))
        });
        let invites = matches!(&outcome, Ok(Some(Outcome { services: Some(_), .. })));
        self.core.turn.reload_ends(outcome);
        if invites {
            self.invite();
        }
    }

    fn follow(&mut self, plan: Plan) -> Outcome {
        let Plan { config, differences, is_pin_new, is_invitation_new } = plan;
        let before = std::mem::replace(&mut self.config, config);
        let config = &self.config;
        self.core.dialer.services.clone_from(&config.services);
        #[cfg(unix)]
        self.core.dialer.programs.clone_from(&config.programs);
        self.core.dialer.allow.clone_from(&config.allow);
        self.core.dialer.server = server_access(config);
        self.core.flows.idle = config.udp_idle;
        self.core.set_ways(config.reach.clone(), config.stun.clone());
        if before.bounds.rate != config.bounds.rate {
            self.core.sessions.set_rate(config.bounds.rate);
        }
        let rules = config.allow.rules().iter().filter(|rule| !before.allow.rules().contains(rule));
        let is_new = |service: &&SharedService| {
            before.services.iter().all(|known| (&known.name, &known.endpoint) != (&service.name, &service.endpoint))
        };
        remark(&mut self.core.turn, rules, config.services.iter().filter(is_new));
        if let (Some(uplink), Some(registration)) = (&mut self.uplink, &config.server) {
            uplink.follow(registration.clone());
        }
        if is_pin_new {
            let pin = config.pin.clone().unwrap_or_else(Pin::generate);
            self.change_pin(pin);
        }
        self.follow_invitations(&before.invitations);
        self.close_forbidden();
        let services = is_invitation_new.then(|| self.config.services.clone());
        differences.outcome(services)
    }

    /// Has clients prove another pin from now on, those with a ticket, too. Sessions go on.
    fn change_pin(&mut self, pin: Pin) {
        self.begin_with_pin(pin);
        self.tickets.pin_replaced();
        let of_pin = |phase: &Phase| matches!(phase, Phase::Returning(_, Before { invitation: None, .. }));
        let returning = self.links.of(of_pin);
        returning.into_iter().for_each(|key| self.drop_link(key));
    }

    /// Closes listeners for clients that no rule has any more. Connections that were accepted there go on.
    fn close_forbidden(&mut self) {
        let is_forbidden = |entry: &ReverseListener| self.access_of(entry.session()).check(entry.bind()).is_err();
        let forbidden = self.reverse.iter().filter(|(_, entry)| is_forbidden(entry));
        for key in forbidden.map(|(key, _)| key).collect::<Vec<ReverseKey>>() {
            self.close_listener(key);
        }
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
