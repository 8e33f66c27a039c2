//! Tokens, the certificate, and settings of a server that are read again beside what is open.

use std::sync::Arc;

use super::files::read_cluster;
use super::phase::Phase;
use super::{Access, Server, Tls, read_access, read_tls, trusted_proxies};
use crate::cluster::Secrets;
use crate::cluster::names::Claim;
use crate::config::{ClusterConfig, GatewayConfig, ServerConfig};
#[cfg(feature = "cli")]
use crate::run::reload::Reader;
use crate::run::reload::{Differences, Reloader, Reread};
use crate::status::event::Event;

/// What was read.
pub(super) struct Read {
    /// The settings, in a run that has them from somewhere.
    settings: Option<Reread<ServerConfig>>,
    tls: Result<Option<Tls>, String>,
    access: Result<Access, String>,
    secrets: Result<Option<(Secrets, Option<String>)>, String>,
}

impl Read {
    /// Reads the files that these settings name.
    fn of(config: &ServerConfig, settings: Option<Reread<ServerConfig>>) -> Read {
        let tls = read_tls(config).map_err(|error| error.to_string());
        let access = read_access(config).map_err(|error| error.to_string());
        let secrets = read_cluster(config).map_err(|error| error.to_string());
        Read { settings, tls, access, secrets }
    }
}

/// Returns what reads the files of a server, after the settings that name them, if these are read again.
#[cfg(feature = "cli")]
pub(super) fn reader(config: ServerConfig, mut settings: Option<Reader<Reread<ServerConfig>>>) -> Reader<Read> {
    Box::new(move || match &mut settings {
        Some(settings) => settings().map(|settings| Read::of(&settings.config.clone(), Some(settings))),
        None => Ok(Read::of(&config, None)),
    })
}

/// Gives a server other settings, from another thread.
#[derive(Debug)]
pub(crate) struct ServerReloader(Reloader<Read>);

impl ServerReloader {
    pub(super) fn new(reloader: Reloader<Read>) -> ServerReloader {
        ServerReloader(reloader)
    }

    /// Reads the files that these settings name, and has the run go by both. One that has ended takes none.
    pub(crate) fn reload(&self, config: ServerConfig) {
        self.0.reload(Read::of(&config.clone(), Some(config.into())));
    }
}

/// Compares what is wanted with what there is. Returns what to go by.
fn compare(present: &ServerConfig, wanted: ServerConfig) -> (ServerConfig, Differences) {
    let mut differences = Differences::default();
    let found = &mut differences;
    // No field is left out by mistake: the struct may not be taken apart or made with `..` here.
    let ServerConfig {
        listen,
        tls,
        access,
        max_hosts,
        max_clients,
        trusted_proxies,
        gateway,
        proxy_listen,
        control,
        cluster,
    } = wanted;
    let tls = match present.tls.is_some() == tls.is_some() {
        true => found.take("tls-cert", &present.tls, tls),
        // Hosts and clients have URLs with or without TLS.
        false => found.leave("tls-cert", &present.tls, &tls),
    };
    let parts = |gateway: &Option<GatewayConfig>| match gateway {
        Some(GatewayConfig { domain, listen }) => (Some(domain.clone()), listen.clone()),
        None => (None, Vec::new()),
    };
    let ((own_domain, own_listen), (domain, gateway_listen)) = (parts(&present.gateway), parts(&gateway));
    found.leave("gateway-domain", &own_domain, &domain);
    found.leave("gateway-listen", &own_listen, &gateway_listen);
    let config = ServerConfig {
        listen: found.leave("listen", &present.listen, &listen),
        tls,
        access: found.take("tokens", &present.access, access),
        max_hosts: found.take("max-hosts", &present.max_hosts, max_hosts),
        max_clients: found.take("max-clients", &present.max_clients, max_clients),
        trusted_proxies: found.take("trusted-proxy", &present.trusted_proxies, trusted_proxies),
        gateway: present.gateway.clone(),
        proxy_listen: found.leave("proxy-listen", &present.proxy_listen, &proxy_listen),
        control: found.control(&present.control, control.as_ref()),
        cluster: compare_clusters(found, &present.cluster, cluster),
    };
    (config, differences)
}

/// Compares the settings of a cluster. The file of secrets may be another one; whom to dial and where to listen counts
/// from the next start on.
fn compare_clusters(
    found: &mut Differences,
    present: &Option<ClusterConfig>,
    wanted: Option<ClusterConfig>,
) -> Option<ClusterConfig> {
    let (Some(own), Some(wanted)) = (present, &wanted) else {
        return found.leave("cluster-secret-file", present, &wanted);
    };
    let ClusterConfig { secret_file, peers, listen, directory } = wanted;
    Some(ClusterConfig {
        secret_file: found.take("cluster-secret-file", &own.secret_file, secret_file.clone()),
        peers: found.leave("peer", &own.peers, peers),
        listen: found.leave("peer-listen", &own.listen, listen),
        directory: found.leave("directory", &own.directory, directory),
    })
}

impl Server {
    /// Has files and settings read again, unless the run is ending.
    #[cfg(feature = "cli")]
    pub(super) fn begin_reload(&mut self) {
        if !self.is_stopping() {
            self.reloading.begin(&mut self.core.turn);
        }
    }

    /// Goes by what was read.
    pub(super) fn finish_reload(&mut self) {
        while let Some(read) = self.reloading.poll() {
            self.reload(read);
        }
    }

    fn reload(&mut self, read: Result<Read, String>) {
        if self.is_stopping() {
            return;
        }
        let outcome = read.map(|Read { settings, tls, access, secrets }| {
            let settings = settings.map(|Reread { mut config, left }| {
                // A file that cannot be used changes nothing.
                if tls.is_err() {
                    config.tls.clone_from(&self.config.tls);
                }
                if access.is_err() {
                    config.access.clone_from(&self.config.access);
                }
                if let (Err(_), Some(present), Some(wanted)) = (&secrets, &self.config.cluster, &mut config.cluster) {
                    wanted.secret_file.clone_from(&present.secret_file);
                }
                let (config, mut differences) = compare(&self.config, config);
                left.iter().for_each(|name| differences.put_off(name));
                self.follow(config);
                differences
            });
            self.take_tls(tls);
            self.take_access(access);
            self.take_secrets(secrets);
            settings.map(|differences| differences.outcome(None))
        });
        self.core.turn.reload_ends(outcome);
    }

    fn follow(&mut self, config: ServerConfig) {
        self.hosts.set_places(config.max_hosts);
        self.clients.set_places(config.max_clients);
        self.proxies = Arc::new(trusted_proxies(&config));
        self.config = config;
    }

    /// Has connections that come from now on see another certificate.
    fn take_tls(&mut self, tls: Result<Option<Tls>, String>) {
        match tls {
            Ok(Some(tls)) if self.tls.is_some() => {
                self.tls = Some(tls.warn_of(&mut self.core.turn));
                self.report_reloaded("certificate");
            }
            Ok(_) => {}
            Err(error) => self.core.turn.warn("reload", format!("the certificate stays as it was: {error}")),
        }
    }

    /// Goes by other tokens. Hosts that may not be there any more are dropped.
    fn take_access(&mut self, access: Result<Access, String>) {
        match access {
            Ok(access @ Access::Tokens(_)) => {
                self.access = access;
                self.report_reloaded("tokens");
                self.drop_unwanted();
            }
            Ok(Access::Open) => self.access = Access::Open,
            Err(error) => self.core.turn.warn("reload", format!("the tokens stay as they were: {error}")),
        }
    }

    /// Goes by other secrets of the cluster. Links stay, and greetings from now on use these. What others compare to
    /// tell owners from each other is named anew.
    fn take_secrets(&mut self, secrets: Result<Option<(Secrets, Option<String>)>, String>) {
        let now = self.core.turn.now;
        let Some(cluster) = &mut self.cluster else { return };
        match secrets {
            Ok(Some((secrets, remark))) => {
                for key in self.names.values() {
                    let Some(Phase::Host(host)) = self.links.get(*key).map(|link| &link.phase) else { continue };
                    let owners = secrets.owner_tags(host.owner.bytes());
                    let instances = secrets.instance_tags(&host.instance.0);
                    match &mut cluster.store {
                        Some(store) => {
                            let claim = Claim { owners, instances, public: host.public.clone(), dials: host.dials };
                            store.book.claim(now, &host.id, claim);
                        }
                        None => cluster.names.retag(&host.id, &owners, instances),
                    }
                }
                cluster.secrets = secrets;
                remark.into_iter().for_each(|remark| self.core.turn.warn("cluster-secret-file", remark));
                self.report_reloaded("cluster-secret");
            }
            Ok(None) => {}
            Err(error) => self.core.turn.warn("reload", format!("the cluster's secrets stay as they were: {error}")),
        }
    }

    fn report_reloaded(&mut self, what: &str) {
        let (changed, left) = (Vec::new(), Vec::new());
        self.core.turn.report(&Event::Reloaded { what: what.to_owned(), changed, left, services: None });
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
