//! Telling the merchant what happened: signed, sent again until it is taken, and late, twice, early, in the wrong order or with a wrong
//! amount when the payment's token says so. What was not taken when the process ends is forgotten: the merchant can ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use stampede_kit::clock::Clock;
use stampede_kit::task;
use tokio_util::sync::CancellationToken;

use crate::bank::{Operation, Status};
use crate::config::{self, Webhook};
use crate::desk::Happening;
use crate::script::Delivery;

/// Pauses between tries: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const TRIES: u32 = 60;
/// Messages that wait for their turn or their next try at once; what comes beyond them is not sent.
const MAX_WAITING: usize = 20_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A message that waits to be overtaken goes by itself after this.
const HELD_AT_MOST: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Webhooks(Arc<Sender>);

struct Sender {
    /// None: nobody is told.
    to: Option<Address>,
    /// Messages of a payment that wait to be overtaken by its next one.
    held: Mutex<HashMap<String, Vec<Value>>>,
    waiting: AtomicUsize,
    stop: CancellationToken,
}

struct Address {
    http: reqwest::Client,
    url: String,
    /// `simulator-signature` of the provider `simulator`.
    header: String,
    mac: Hmac<Sha256>,
}

impl Webhooks {
    /// `name` is the provider's.
    pub fn new(name: &str, webhook: Option<&Webhook>, stop: CancellationToken) -> anyhow::Result<Self> {
        let address = |webhook: &Webhook| {
            let secret = config::secret(&webhook.key).context("webhook.key is name:hex")?;
            let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
            let header = format!("{name}-signature");
            anyhow::Ok(Address {
                http,
                url: webhook.url.clone(),
                header,
                mac: Hmac::new_from_slice(&secret)?,
            })
        };
        let to = webhook.map(address).transpose()?;
        Ok(Self(Arc::new(Sender { to, held: Mutex::default(), waiting: AtomicUsize::new(0), stop })))
    }

    /// Tells of an operation as the script says; comes back when the merchant has taken it only if that is what the script says.
    pub async fn tell(&self, operation: &Operation, deliveries: &[Delivery]) {
        if self.0.to.is_none() {
            return;
        }
        let Some(message) = message(operation, deliveries) else { return };
        let payment = &operation.command.payment;
        let mut delay = Duration::ZERO;
        for delivery in deliveries {
            match delivery {
                Delivery::Never => return,
                Delivery::Early => return self.0.deliver(&message).await,
                Delivery::Reordered => return self.hold(payment, message),
                Delivery::Twice => self.send(payment, message.clone(), Duration::ZERO),
                Delivery::Late(late) => delay = *late,
                Delivery::WrongAmount => {}
            }
        }
        self.send(payment, message, delay);
    }

    /// Tells of what happened by itself.
    pub fn tell_of(&self, happening: &Happening, currency: &str) {
        let what = happening.what.as_str();
        let message = json!({
            "id": format!("evt_{what}_{}_{}", happening.payment, happening.reference),
            "type": what,
            "payment": happening.payment,
            "reference": happening.reference,
            "amount_minor": happening.amount_minor,
            "currency": currency,
        });
        self.send(&happening.payment, message, Duration::ZERO);
    }

    /// In the background; what of the payment was held goes behind it.
    fn send(&self, payment: &str, message: Value, delay: Duration) {
        let held =
            self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(payment).unwrap_or_default();
        let sender = self.0.clone();
        task::spawn("webhook", async move {
            tokio::time::sleep(delay).await;
            sender.deliver(&message).await;
            for message in held {
                sender.deliver(&message).await;
            }
        });
    }

    fn hold(&self, payment: &str, message: Value) {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry(payment.to_owned()).or_default().push(message);
        drop(held);
        let (sender, payment) = (self.0.clone(), payment.to_owned());
        task::spawn("webhook", async move {
            tokio::time::sleep(HELD_AT_MOST).await;
            let held = sender.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&payment);
            for message in held.unwrap_or_default() {
                sender.deliver(&message).await;
            }
        });
    }
}

impl Sender {
    /// Until it is taken, or the merchant has refused it too often.
    async fn deliver(&self, message: &Value) {
        let Some(to) = &self.to else { return };
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            self.try_often(to, message).await;
        } else {
            tracing::warn!("too many webhooks wait: one is not sent");
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    async fn try_often(&self, to: &Address, message: &Value) {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            match to.post(message).await {
                Ok(status) if status.is_success() => return,
                Ok(status) => tracing::warn!(status = status.as_u16(), "a webhook was not taken"),
                Err(error) => tracing::warn!(%error, "a webhook did not arrive"),
            }
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Address {
    /// Signed anew each time: a signature grows old.
    async fn post(&self, message: &Value) -> Result<reqwest::StatusCode, reqwest::Error> {
        let body = message.to_string();
        let at = Clock::system().now().unix_timestamp().to_string();
        let mac = self.mac.clone().chain_update(&at).chain_update(b".").chain_update(&body);
        let signature = format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()));
        let request = self.http.post(&self.url).header(&self.header, signature);
        Ok(request.header("content-type", "application/json").body(body).send().await?.status())
    }
}

/// None while there is no outcome to tell of.
fn message(operation: &Operation, deliveries: &[Delivery]) -> Option<Value> {
    let wrong = deliveries.contains(&Delivery::WrongAmount);
    let what = match operation.status {
        Status::Succeeded => "operation_succeeded",
        Status::Declined => "operation_declined",
        Status::RequiresAction => return None,
    };
    Some(json!({
        "id": format!("evt_{what}_{}{}", operation.reference, if wrong { "_wrong" } else { "" }),
        "type": what,
        "key": operation.key,
        "payment": operation.command.payment,
        "reference": operation.reference,
        "decline": operation.decline,
        "amount_minor": operation.amount_minor + i64::from(wrong),
        "currency": operation.currency,
        "expires_at_ms": operation.expires_at_ms,
    }))
}
