//! Every setting of the payment service.

use std::time::Duration;

use stampede_kit::Secret;
use stampede_kit::config::{Problems, Reader, Server};

use crate::crash::Crash;
use crate::domain::Keys;

/// Connections to Postgres unless told.
const CONNECTIONS: u32 = 16;
const PSP_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub struct Config {
    /// The settings every server has.
    pub server: Server,
    /// `database.url` (`PAYMENT_DATABASE_URL`).
    pub database_url: Secret,
    /// `database.connections` (`PAYMENT_DATABASE_CONNECTIONS`): 16 unless told.
    pub database_connections: u32,
    /// `nats.url` (`PAYMENT_NATS_URL`).
    pub nats_url: Secret,
    /// `psp.url` (`PAYMENT_PSP_URL`): the provider's base address.
    pub psp_url: String,
    /// `psp.timeout_ms` (`PAYMENT_PSP_TIMEOUT_MS`): after this long an answer counts as lost. 3000 unless told.
    pub psp_timeout: Duration,
    /// `psp.webhook_keys` (`PAYMENT_PSP_WEBHOOK_KEYS`): what the provider signs its webhooks with, as `name:hex` of 32 bytes or more.
    /// To rotate add the new one, have the provider sign with it, and take the old one out. Without any, webhooks are refused.
    pub webhook_keys: Keys,
    /// `crash_at` (`PAYMENT_CRASH_AT`): where to abort, in debug builds only.
    pub crash: Crash,
}

impl Config {
    /// # Errors
    /// Everything that is wrong with the settings, at once.
    pub fn read(reader: &mut Reader) -> Result<Self, Problems> {
        let server = Server::read(reader);
        let database_url = reader.required("database.url");
        let database_connections = reader.or("database.connections", CONNECTIONS);
        if database_connections < 2 {
            reader.refuse("database.connections", "must be 2 or more: the relay keeps one");
        }
        let nats_url = reader.required("nats.url");
        let psp_url: Option<String> = reader.required("psp.url");
        if psp_url.as_ref().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            reader.refuse("psp.url", "must begin with http:// or https://");
        }
        let psp_timeout = reader.or("psp.timeout_ms", PSP_TIMEOUT);
        let webhook_keys = webhook_keys(reader);
        let crash = Crash::read(reader);
        reader.finish(|| {
            Some(Self {
                server: server?,
                database_url: database_url?,
                database_connections,
                nats_url: nats_url?,
                psp_url: psp_url?,
                psp_timeout,
                webhook_keys: webhook_keys?,
                crash,
            })
        })
    }
}

fn webhook_keys(reader: &mut Reader) -> Option<Keys> {
    let texts: Vec<Secret> = reader.or("psp.webhook_keys", Vec::new());
    let keys = Keys::parse(texts.iter().map(Secret::expose));
    if keys.is_none() {
        // What was found stays out of the complaint.
        reader.refuse("psp.webhook_keys", "must be name:hex with 32 bytes or more each, every name once");
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 9] = [
        ("listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("tls.cert", "payment.pem"),
        ("tls.key", "payment.key"),
        ("tls.ca", "ca.pem"),
        ("jwt.jwks", "jwks.json"),
        ("database.url", "postgres://localhost/payment"),
        ("nats.url", "nats://localhost"),
        ("psp.url", "http://localhost:1"),
    ];

    #[test]
    fn the_provider_has_three_seconds_unless_told() {
        let config = Config::read(&mut Reader::from_pairs("payment", GOOD)).unwrap();
        assert_eq!(config.psp_timeout, Duration::from_secs(3));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = [
            ("psp.url", "localhost"),
            ("database.connections", "1"),
            ("crash_at", "never"),
            ("psp.webhook_keys", "k:00ff"),
        ];
        let pairs = GOOD.into_iter().filter(|(key, _)| *key != "psp.url").chain(wrong);
        let problems = Config::read(&mut Reader::from_pairs("payment", pairs)).unwrap_err().to_string();
        for part in ["PSP_URL", "DATABASE_CONNECTIONS", "CRASH_AT", "WEBHOOK_KEYS"] {
            assert!(problems.contains(part), "{part} is not in {problems}");
        }
    }
}
