//! Every setting of the payment service. Providers and routes are checked here: what is routed is taken.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit::Secret;
use stampede_kit::config::{Problems, Reader, Server};

use crate::crash::Crash;
use crate::domain::{Keys, Routes};
use crate::provider::{Simulator, Stripe, StripeConfig};
use crate::providers::{Desk, Providers};

/// Connections to Postgres unless told.
const CONNECTIONS: u32 = 16;
const PSP_TIMEOUT: Duration = Duration::from_secs(3);
/// The providers' names.
const SIMULATOR: &str = "simulator";
const SIMULATOR_B: &str = "simulator-b";
const STRIPE: &str = "stripe";
const STRIPE_URL: &str = "https://api.stripe.com";

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
    /// `psp_b.url` (`PAYMENT_PSP_B_URL`), `psp_b.webhook_keys` (`PAYMENT_PSP_B_WEBHOOK_KEYS`): a second provider of the same kind, named
    /// `simulator-b`. None unless told.
    pub psp_b_url: Option<String>,
    pub psp_b_webhook_keys: Keys,
    /// `stripe.secret_key` (`PAYMENT_STRIPE_SECRET_KEY`): with it there is a provider named `stripe`. `stripe.url` is where it is,
    /// `https://api.stripe.com` unless told; `stripe.return_url`, which must be set then, where payers come back to; and
    /// `stripe.webhook_secrets` (`PAYMENT_STRIPE_WEBHOOK_SECRETS`) what it signs its webhooks with, as it shows them (`whsec_…`).
    pub stripe: Option<StripeConfig>,
    pub stripe_webhook_keys: Keys,
    /// `routes` (`PAYMENT_ROUTES`): who is asked for what, as `method[/CURRENCY]=provider[>provider…]`, such as
    /// `card/EUR=simulator>simulator-b`; the method `*` is any, and the most particular route wins. `*=simulator` unless told. After `>` stands
    /// who is asked when the one before cannot.
    pub routes: Routes,
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
        check_url(reader, "psp.url", psp_url.as_deref());
        let psp_b_url: Option<String> = reader.optional("psp_b.url");
        check_url(reader, "psp_b.url", psp_b_url.as_deref());
        let psp_timeout = reader.or("psp.timeout_ms", PSP_TIMEOUT);
        let webhook_keys = keys(reader, "psp.webhook_keys");
        let psp_b_webhook_keys = keys(reader, "psp_b.webhook_keys");
        let (stripe, stripe_webhook_keys) = (stripe(reader, psp_timeout), stripe_keys(reader));
        let routes = routes(reader, psp_b_url.is_some(), stripe.is_some());
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
                psp_b_url,
                psp_b_webhook_keys: psp_b_webhook_keys?,
                stripe,
                stripe_webhook_keys: stripe_webhook_keys?,
                routes: routes?,
                crash,
            })
        })
    }
}

impl Config {
    /// The providers that are configured, and the routes to them.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn providers(&self) -> anyhow::Result<Providers> {
        let simulator = |name, url: &str, keys: &Keys| {
            let provider = Arc::new(Simulator::new(name, url, self.psp_timeout)?);
            anyhow::Ok(Desk { provider, keys: keys.clone() })
        };
        let mut desks = vec![simulator(SIMULATOR, &self.psp_url, &self.webhook_keys)?];
        if let Some(url) = &self.psp_b_url {
            desks.push(simulator(SIMULATOR_B, url, &self.psp_b_webhook_keys)?);
        }
        if let Some(stripe) = &self.stripe {
            let keys = self.stripe_webhook_keys.clone();
            desks.push(Desk { provider: Arc::new(Stripe::new(stripe.clone())?), keys });
        }
        Ok(Providers::new(desks, self.routes.clone()))
    }
}

fn check_url(reader: &mut Reader, key: &str, url: Option<&str>) {
    if url.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        reader.refuse(key, "must begin with http:// or https://");
    }
}

/// None without a key.
fn stripe(reader: &mut Reader, timeout: Duration) -> Option<StripeConfig> {
    let secret_key: Option<Secret> = reader.optional("stripe.secret_key");
    let url = reader.or("stripe.url", STRIPE_URL.to_owned());
    check_url(reader, "stripe.url", Some(&url));
    let return_url: Option<String> = reader.optional("stripe.return_url");
    check_url(reader, "stripe.return_url", return_url.as_deref());
    let secret_key = secret_key?;
    if return_url.is_none() {
        reader.refuse("stripe.return_url", "is missing; payers come back to it");
    }
    Some(StripeConfig { url, secret_key, return_url: return_url?, timeout })
}

fn stripe_keys(reader: &mut Reader) -> Option<Keys> {
    let texts: Vec<Secret> = reader.or("stripe.webhook_secrets", Vec::new());
    let keys = Keys::of_texts(texts.iter().map(Secret::expose));
    if keys.is_none() {
        reader.refuse("stripe.webhook_secrets", "must be of 32 characters or more each");
    }
    keys
}

fn routes(reader: &mut Reader, second: bool, stripe: bool) -> Option<Routes> {
    let texts: Option<Vec<String>> = reader.optional("routes");
    let Some(texts) = texts else { return Some(Routes::all_to(SIMULATOR)) };
    let providers = [(SIMULATOR, true), (SIMULATOR_B, second), (STRIPE, stripe)];
    let known: Vec<&str> = providers.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    match Routes::parse(texts.iter().map(String::as_str), &known) {
        Ok(routes) => Some(routes),
        Err(problems) => {
            for problem in problems {
                reader.refuse("routes", problem);
            }
            None
        }
    }
}

fn keys(reader: &mut Reader, key: &str) -> Option<Keys> {
    let texts: Vec<Secret> = reader.or(key, Vec::new());
    let keys = Keys::parse(texts.iter().map(Secret::expose));
    if keys.is_none() {
        // What was found stays out of the complaint.
        reader.refuse(key, "must be name:hex with 32 bytes or more each, every name once");
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
    fn everything_goes_to_the_one_provider_unless_told_and_a_route_needs_its_provider() {
        let read = |more: &[(&'static str, &'static str)]| {
            let pairs = GOOD.into_iter().chain(more.iter().copied());
            Config::read(&mut Reader::from_pairs("payment", pairs))
        };
        assert_eq!(read(&[]).unwrap().routes, Routes::all_to("simulator"));
        let second = ("routes", "*=simulator,card=simulator>simulator-b");
        assert!(read(&[second]).is_err(), "there is no second provider");
        let both = read(&[second, ("psp_b.url", "http://localhost:2")]).unwrap().providers().unwrap();
        let card = both.route(crate::domain::MethodKind::Card, "EUR".parse().unwrap());
        assert_eq!(card, ["simulator", "simulator-b"]);
    }

    #[test]
    fn stripe_is_there_with_its_key_and_needs_an_address_to_come_back_to() {
        let key = ("stripe.secret_key", "sk_test_x");
        let read = |more: &[(&'static str, &'static str)]| {
            let pairs = GOOD.into_iter().chain(more.iter().copied());
            Config::read(&mut Reader::from_pairs("payment", pairs))
        };
        assert!(read(&[]).unwrap().stripe.is_none());
        assert!(read(&[("routes", "card=stripe")]).is_err());
        assert!(read(&[key]).unwrap_err().to_string().contains("STRIPE_RETURN_URL"));
        let back = ("stripe.return_url", "https://shop/back");
        let config = read(&[key, back, ("routes", "*=simulator,card=stripe>simulator")]).unwrap();
        assert_eq!(config.stripe.as_ref().unwrap().url, "https://api.stripe.com");
        assert!(!format!("{config:?}").contains("sk_test_x"));
        assert!(read(&[key, back, ("stripe.webhook_secrets", "short")]).is_err());
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = [
            ("psp.url", "localhost"),
            ("database.connections", "1"),
            ("crash_at", "never"),
            ("psp.webhook_keys", "k:00ff"),
            ("psp_b.url", "ftp://b"),
            ("routes", "card=simulator>stripe,cash=simulator-b"),
        ];
        let pairs = GOOD.into_iter().filter(|(key, _)| *key != "psp.url").chain(wrong);
        let problems = Config::read(&mut Reader::from_pairs("payment", pairs)).unwrap_err().to_string();
        for part in [
            "PSP_URL",
            "DATABASE_CONNECTIONS",
            "CRASH_AT",
            "WEBHOOK_KEYS",
            "PSP_B_URL",
            "\"stripe\"",
            "\"cash\"",
        ] {
            assert!(problems.contains(part), "{part} is not in {problems}");
        }
    }
}
