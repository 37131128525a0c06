//! Every setting of the simulator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use stampede_kit::Secret;
use stampede_kit::config::{Problems, Reader};

use crate::settlement::Fees;

const MAX_NAME: usize = 32;
/// All of a capture.
const MAX_BPS: i64 = 10_000;
const MAX_DISPUTE_MINOR: i64 = 1_000_000;

#[derive(Debug, Clone)]
pub struct Config {
    /// `name` (`PSP_SIMULATOR_NAME`): what the merchant calls this provider, `simulator` unless told; a second one is `simulator-b`.
    pub name: String,
    /// `listen` (`PSP_SIMULATOR_LISTEN`): plain HTTP, on loopback only.
    pub listen: SocketAddr,
    /// `state` (`PSP_SIMULATOR_STATE`): the journal file; without one the truth ends with the process.
    pub state: Option<PathBuf>,
    /// `latency_ms` (`PSP_SIMULATOR_LATENCY_MS`): how long every command takes. 0 unless told.
    pub latency: Duration,
    /// `webhook.url`, `webhook.key` (`PSP_SIMULATOR_WEBHOOK_URL`, `PSP_SIMULATOR_WEBHOOK_KEY`): whom to tell what happened, and the
    /// key that signs it, as `name:hex`. Without an address nobody is told.
    pub webhook: Option<Webhook>,
    /// `settlement.fee_bps` (`PSP_SIMULATOR_SETTLEMENT_FEE_BPS`): what a capture costs, in hundredths of a percent; and
    /// `settlement.dispute_fee_minor`: what a dispute costs. 0 unless told.
    pub fees: Fees,
}

/// Where webhooks go.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: String,
    pub key: Secret,
}

impl Config {
    /// # Errors
    /// Everything that is wrong with the settings, at once.
    pub fn read(reader: &mut Reader) -> Result<Self, Problems> {
        let name = reader.or("name", "simulator".to_owned());
        if !name.starts_with("simulator") || name.len() > MAX_NAME {
            reader.refuse("name", "must begin with simulator and be short");
        }
        let listen: Option<SocketAddr> = reader.required("listen");
        if listen.is_some_and(|address| !address.ip().is_loopback()) {
            reader.refuse("listen", "must be on loopback: this provider takes anybody's word");
        }
        let state = reader.optional("state");
        let latency = reader.or("latency_ms", Duration::ZERO);
        let url: Option<String> = reader.optional("webhook.url");
        let key: Option<Secret> = reader.optional("webhook.key");
        let webhook = match (url, key) {
            (Some(url), Some(key)) if secret(&key).is_some() => Some(Webhook { url, key }),
            (Some(_), _) => {
                reader.refuse("webhook.key", "must be name:hex: what is told is signed");
                None
            }
            (None, _) => None,
        };
        let fees = fees(reader);
        reader.finish(|| Some(Self { name, listen: listen?, state, latency, webhook, fees }))
    }
}

fn fees(reader: &mut Reader) -> Fees {
    let capture_bps = reader.or("settlement.fee_bps", 0);
    if !(0..=MAX_BPS).contains(&capture_bps) {
        reader.refuse("settlement.fee_bps", "must be 0 to 10000");
    }
    let dispute_minor = reader.or("settlement.dispute_fee_minor", 0);
    if !(0..=MAX_DISPUTE_MINOR).contains(&dispute_minor) {
        reader.refuse("settlement.dispute_fee_minor", "must be 0 to 1000000");
    }
    Fees { capture_bps, dispute_minor }
}

/// The key's bytes.
pub fn secret(key: &Secret) -> Option<Vec<u8>> {
    hex::decode(key.expose().split_once(':')?.1).ok()
}
