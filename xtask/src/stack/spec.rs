//! What each process needs: which servers, which peers. The one place that knows the services' settings by name.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use stampede_pki::Folder;

use super::names;
use crate::certs;
use crate::servers::Servers;

/// Every service, the called before its callers: the order of starting.
pub const NAMES: [&str; 5] = ["psp-simulator", "payment", "inventory", "order", "gateway"];

/// What one process needs.
#[derive(Debug)]
pub struct Spec {
    pub name: &'static str,
    /// Has an admin listener, certificates and tokens to verify.
    pub admin: bool,
    /// Has a database of its own name, and publishes or consumes events.
    pub database: bool,
    redis: bool,
    /// Calls the payment provider.
    provider: bool,
    /// Services it calls.
    peers: &'static [&'static str],
}

pub const ALL: [Spec; 5] = [
    Spec { name: "psp-simulator", admin: false, database: false, redis: false, provider: false, peers: &[] },
    Spec { name: "payment", admin: true, database: true, redis: false, provider: true, peers: &[] },
    Spec { name: "inventory", admin: true, database: true, redis: true, provider: false, peers: &[] },
    Spec {
        name: "order",
        admin: true,
        database: true,
        redis: false,
        provider: false,
        peers: &["inventory", "payment"],
    },
    Spec {
        name: "gateway",
        admin: true,
        database: false,
        redis: false,
        provider: false,
        peers: &["order", "inventory", "payment"],
    },
];

/// What a process finds around it.
pub struct Surroundings<'a> {
    pub dir: &'a Path,
    pub servers: &'a Servers,
    pub folder: &'a Folder,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub address: &'a dyn Fn(&str) -> anyhow::Result<SocketAddr>,
}

/// What the process of this name needs: that of its service.
pub fn find(name: &str) -> anyhow::Result<&'static Spec> {
    let service = names::service(name);
    ALL.iter()
        .find(|spec| spec.name == service)
        .with_context(|| format!("{name:?} is no process of this system; there are {}", NAMES.join(", ")))
}

impl Spec {
    /// Its settings by key.
    pub fn settings(&self, around: &Surroundings<'_>) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let mut settings = BTreeMap::from([("listen", around.listen.to_string())]);
        if self.admin {
            let path = |path: std::path::PathBuf| path.display().to_string();
            let folder = around.folder;
            settings.insert("admin.listen", around.admin.to_string());
            settings.insert("environment", certs::ENVIRONMENT.to_owned());
            settings.insert("tls.cert", path(folder.cert_path(self.name)));
            settings.insert("tls.key", path(folder.key_path(self.name)));
            settings.insert("tls.ca", path(folder.ca_path()));
            settings.insert("tls.crl", path(folder.crl_path()));
            settings.insert("jwt.jwks", path(folder.jwks_path()));
        }
        if self.database {
            settings.insert("database.url", around.servers.database_url(self.name));
            settings.insert("nats.url", around.servers.nats_url());
        }
        if self.name == "psp-simulator" {
            // A provider that forgot what it charged when it restarts would be no provider.
            settings.insert("state", around.dir.join("psp-simulator.journal").display().to_string());
            // Where there is no gateway nobody is told.
            if let Ok(gateway) = (around.address)("gateway") {
                settings.insert("webhook.url", format!("http://{gateway}/webhooks/simulator"));
                settings.insert("webhook.key", around.folder.webhook_key().to_owned());
            }
        }
        if self.name == "order" {
            settings.insert("quote.keys", around.folder.quote_key().to_owned());
        }
        if self.redis {
            settings.insert("redis.url", around.servers.redis_url());
        }
        if self.provider {
            settings.insert("psp.url", format!("http://{}", (around.address)("psp-simulator")?));
            settings.insert("psp.webhook_keys", around.folder.webhook_key().to_owned());
        }
        for peer in self.peers {
            settings.insert(peer_key(peer), (around.address)(peer)?.to_string());
        }
        Ok(settings)
    }
}

fn peer_key(peer: &str) -> &'static str {
    match peer {
        "inventory" => "peers.inventory",
        "payment" => "peers.payment",
        _ => "peers.order",
    }
}

/// Key `tls.cert` of `psp-simulator` is `PSP_SIMULATOR_TLS_CERT`.
pub fn variable(service: &str, key: &str) -> String {
    format!("{service}_{key}").to_uppercase().replace(['.', '-'], "_")
}

/// Tells whether a running process is the one that would be started now.
pub fn fingerprint(
    variables: &BTreeMap<String, String>,
    program: &Path,
    changed: Option<SystemTime>,
) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{} {changed:?}", program.display()));
    for (name, value) in variables {
        digest.update(format!("\n{name}={value}"));
    }
    hex::encode(&digest.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_the_variable_the_kit_reads() {
        assert_eq!(variable("psp-simulator", "listen"), "PSP_SIMULATOR_LISTEN");
        assert_eq!(variable("order", "peers.inventory"), "ORDER_PEERS_INVENTORY");
    }

    #[test]
    fn the_called_start_before_their_callers() {
        for (at, spec) in ALL.iter().enumerate() {
            assert_eq!(spec.name, NAMES[at]);
            for peer in spec.peers {
                assert!(NAMES[..at].contains(peer), "{} calls {peer}", spec.name);
                assert_eq!(peer_key(peer), format!("peers.{peer}"));
            }
        }
    }
}
