//! Every setting of the order service. Variables are the keys in upper case with the prefix `ORDER_`.

use std::time::Duration;

use stampede_kit as kit;
use stampede_kit::config::{Problems, Reader, Server};
use stampede_types::Money;

use crate::crash::CrashAt;
use crate::domain::order::CaptureAt;
use crate::domain::quote::Keys;

/// Inventory holds nothing longer.
const LONGEST_HOLD: Duration = Duration::from_hours(1);

/// More than that is a typing mistake.
const MAX_SHIPPING_MINOR: i64 = 100_000_000;

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    /// `database.url` (ORDER_DATABASE_URL): Postgres.
    pub database_url: kit::Secret,
    /// `database.connections` (ORDER_DATABASE_CONNECTIONS): the pool's size.
    pub database_connections: u32,
    /// `nats.url` (ORDER_NATS_URL): where events go.
    pub nats_url: kit::Secret,
    /// `nats.stream`, `nats.prefix` (ORDER_NATS_STREAM, ORDER_NATS_PREFIX): the JetStream stream and its first subject token.
    pub stream: kit::nats::Stream,
    /// `peers.inventory` (ORDER_PEERS_INVENTORY): "host:port".
    pub inventory: String,
    /// `peers.payment` (ORDER_PEERS_PAYMENT): "host:port".
    pub payment: String,
    /// `payment_window_ms` (ORDER_PAYMENT_WINDOW_MS): how long a buyer has to begin to pay: the client's timer.
    pub payment_window: Duration,
    /// `session_grace_ms` (ORDER_SESSION_GRACE_MS): how much longer than that the provider may take over an authorisation that was
    /// begun in time. One that is not known by then is let go: the provider's session ends.
    pub session_grace: Duration,
    /// `hold_grace_ms` (ORDER_HOLD_GRACE_MS): how much longer than the payment window the stock is held. More than the session
    /// grace: client timer < provider session < reservation.
    pub hold_grace: Duration,
    /// `late_hold_ms` (ORDER_LATE_HOLD_MS): for how long after its time to pay an expired order is held stock for once more when its
    /// money comes late after all. Later, or when there is no stock, the money goes back. 0: it always does.
    pub late_hold: Duration,
    /// `saga.lease_ms` (ORDER_SAGA_LEASE_MS): how long a worker that fell silent keeps an order from others. A call to a
    /// peer gets three quarters of it.
    pub saga_lease: Duration,
    /// `return_period_ms` (ORDER_RETURN_PERIOD_MS): how long after its delivery something may be sent back; then the order is
    /// completed, unless a return is still open. By Postgres's clock; 14 days when not set.
    pub return_period: Duration,
    /// `quote.keys` (ORDER_QUOTE_KEYS): what signs quotes, as `name:hex` of 32 bytes or more; the first signs, all verify. To
    /// rotate put a new one first, and take the old one out when its quotes have expired. Every instance has the same.
    pub quote_keys: Keys,
    /// `quote.valid_ms` (ORDER_QUOTE_VALID_MS): how long a quote is good; whole seconds.
    pub quote_valid: Duration,
    /// `shipping.fee_minor`, `shipping.currency` (ORDER_SHIPPING_FEE_MINOR, ORDER_SHIPPING_CURRENCY): what shipping an order
    /// costs before promotions. 0, the default, is free shipping for everybody; orders in other currencies are shipped free.
    pub shipping_fee: Option<Money>,
    /// `capture_at` (ORDER_CAPTURE_AT): when the money of an order is taken: `payment`, the default, or `shipment`: it is held when the
    /// order is confirmed, and taken as units leave. An order paid by several tenders is paid at once.
    pub capture_at: CaptureAt,
    /// `crash_at` (ORDER_CRASH_AT): debug builds only, for tests: the point at which the process aborts.
    pub crash_at: CrashAt,
}

impl Config {
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(reader: &mut Reader) -> Result<Config, Problems> {
        let server = Server::read(reader);
        let database_url = reader.required("database.url");
        let database_connections = reader.or("database.connections", 16);
        let nats_url = reader.required("nats.url");
        let usual = kit::nats::Stream::default();
        let stream = kit::nats::Stream {
            name: reader.or("nats.stream", usual.name),
            prefix: reader.or("nats.prefix", usual.prefix),
        };
        let inventory = reader.required("peers.inventory");
        let payment = reader.required("peers.payment");
        let payment_window = reader.or("payment_window_ms", Duration::from_mins(15));
        let session_grace = reader.or("session_grace_ms", Duration::from_mins(1));
        let hold_grace = reader.or("hold_grace_ms", Duration::from_mins(2));
        let late_hold = reader.or("late_hold_ms", Duration::from_mins(10));
        let saga_lease = reader.or("saga.lease_ms", Duration::from_secs(8));
        let return_period = reader.or("return_period_ms", Duration::from_hours(14 * 24));
        let quote_keys = quote_keys(reader);
        let quote_valid = reader.or("quote.valid_ms", Duration::from_mins(5));
        let shipping_fee = shipping_fee(reader);
        let capture_at = reader.or("capture_at", CaptureAt::Payment);
        let crash_at = CrashAt::read(reader);
        if payment_window + hold_grace > LONGEST_HOLD {
            reader.refuse("payment_window_ms", "with hold_grace_ms it must be an hour or less");
        }
        if session_grace.is_zero() || session_grace >= hold_grace {
            reader.refuse(
                "session_grace_ms",
                "must be above 0 and below hold_grace_ms: client timer < provider session < reservation",
            );
        }
        if payment_window.is_zero() {
            reader.refuse("payment_window_ms", "must be 1 or more");
        }
        if saga_lease < Duration::from_millis(100) {
            reader.refuse("saga.lease_ms", "must be 100 or more");
        }
        reader.finish(|| {
            Some(Config {
                server: server?,
                database_url: database_url?,
                database_connections,
                nats_url: nats_url?,
                stream,
                inventory: inventory?,
                payment: payment?,
                payment_window,
                session_grace,
                hold_grace,
                late_hold,
                saga_lease,
                return_period,
                quote_keys: quote_keys?,
                quote_valid,
                shipping_fee,
                capture_at,
                crash_at,
            })
        })
    }
}

impl kit::config::Setting for CaptureAt {
    const EXPECTED: &'static str = "payment or shipment";

    fn parse(text: &str) -> Option<Self> {
        text.to_uppercase().parse().ok()
    }
}

fn quote_keys(reader: &mut Reader) -> Option<Keys> {
    let texts: Vec<kit::Secret> = reader.required("quote.keys")?;
    let keys = Keys::parse(texts.iter().map(kit::Secret::expose));
    if keys.is_none() {
        // What was found stays out of the complaint.
        reader.refuse("quote.keys", "must be name:hex with 32 bytes or more each, every name once");
    }
    keys
}

fn shipping_fee(reader: &mut Reader) -> Option<Money> {
    let fee: i64 = reader.or("shipping.fee_minor", 0);
    let currency: String = reader.or("shipping.currency", "EUR".to_owned());
    if !(0..=MAX_SHIPPING_MINOR).contains(&fee) {
        reader.refuse("shipping.fee_minor", "must be 0 to 100000000");
    }
    match currency.parse() {
        Ok(currency) => Some(Money::new(fee, currency)).filter(|fee| fee.amount_minor() > 0),
        Err(_) => {
            reader.refuse("shipping.currency", "must be an ISO 4217 code");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 11] = [
        ("listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("tls.cert", "order.pem"),
        ("tls.key", "order.key"),
        ("tls.ca", "ca.pem"),
        ("jwt.jwks", "jwks.json"),
        ("database.url", "postgres://localhost/order"),
        ("nats.url", "nats://localhost"),
        ("peers.inventory", "localhost:1"),
        ("peers.payment", "localhost:2"),
        ("quote.keys", "k:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"),
    ];

    fn read(settings: &[(&'static str, &'static str)]) -> Result<Config, Problems> {
        Config::read(&mut Reader::from_pairs("order", GOOD.iter().chain(settings).copied()))
    }

    #[test]
    fn the_clients_timer_ends_before_the_providers_session_and_that_before_the_reservation() {
        let config = read(&[]).unwrap();
        assert!(Duration::ZERO < config.session_grace && config.session_grace < config.hold_grace);
        assert!(config.payment_window + config.hold_grace <= LONGEST_HOLD);
        for wrong in [
            [("session_grace_ms", "0"), ("hold_grace_ms", "1000")],
            [("session_grace_ms", "1000"), ("hold_grace_ms", "1000")],
            [("session_grace_ms", "1001"), ("hold_grace_ms", "1000")],
        ] {
            let problems = read(&wrong).unwrap_err().to_string();
            assert!(problems.contains("ORDER_SESSION_GRACE_MS"), "{wrong:?}: {problems}");
        }
        assert!(read(&[("session_grace_ms", "999"), ("hold_grace_ms", "1000")]).is_ok());
    }
}
