//! The adapter of Stripe's PaymentIntents by its published API: a hold is an intent that is confirmed at once and captured by hand. What it
//! does is written down in `tests/it/stripe`, request by request; it has never been tested against the real thing. An intent is captured
//! once: what is not taken then is let go there by itself, and a void finds it gone.

mod form;
mod read;
mod talk;
mod webhook;

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use stampede_kit::Secret;

use super::line::Line;
use super::{Call, Found, Provider, Reading};
use crate::domain::{Answer, Method, MethodKind, Operation};
use form::Form;
use read::{Intent, Status};
use talk::Reply;

const NAME: &str = "stripe";
/// The version whose shapes are read here.
const API_VERSION: &str = "2024-06-20";
/// Refunds of one intent that are looked through.
const MOST_REFUNDS: &str = "100";

/// What it is reached by.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    pub url: String,
    pub secret_key: Secret,
    /// Where a payer comes back to after what his bank asked of him.
    pub return_url: String,
    pub timeout: Duration,
}

pub struct Stripe {
    line: Line,
    config: StripeConfig,
}

impl Stripe {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(config: StripeConfig) -> anyhow::Result<Self> {
        let line = Line::new(NAME, &config.url, config.timeout, talk::MAX_ANSWER_BYTES)?;
        Ok(Self { line, config })
    }

    async fn hold(&self, call: &Call, method: &Method) -> Answer {
        match method.kind {
            MethodKind::Card => {}
            // They cannot be held first and taken later there.
            MethodKind::Alipay | MethodKind::WechatPay | MethodKind::StoredValue | MethodKind::Tenders => {
                return Answer::Refused { reference: None, decline: "method_not_supported".to_owned() };
            }
        }
        let form = intent(call)
            .with("confirm", "true")
            .with("payment_method_data[type]", "card")
            .with("payment_method_data[card][token]", method.token.expose())
            .with("return_url", &self.config.return_url);
        match self.post("/v1/payment_intents", call.key, &form).await {
            Reply::Good(body) => read::held(&body),
            refused @ (Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost) => {
                refused.answer()
            }
        }
    }

    async fn take(&self, call: &Call) -> Answer {
        // Nobody captures what nobody is known to hold.
        let Some(hold) = &call.hold else { return Answer::Lost };
        let form = Form::default()
            .with("amount_to_capture", &call.amount_minor.to_string())
            .with("metadata[capture]", &call.key.to_string())
            .with("expand[]", "latest_charge");
        match self.post(&format!("/v1/payment_intents/{hold}/capture"), call.key, &form).await {
            Reply::Good(body) => read::captured(&body),
            // Whether it was taken before is for the intent to say.
            Reply::Declined { code: Some(code), .. } if code == "payment_intent_unexpected_state" => {
                read::or_lost(self.ask(call).await)
            }
            refused @ (Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost) => {
                refused.answer()
            }
        }
    }

    async fn give_back(&self, call: &Call) -> Answer {
        let Some(hold) = &call.hold else { return Answer::Lost };
        let form = Form::default()
            .with("payment_intent", hold)
            .with("amount", &call.amount_minor.to_string())
            .with("metadata[key]", &call.key.to_string())
            .with("metadata[payment]", &call.payment.to_string());
        match self.post("/v1/refunds", call.key, &form).await {
            Reply::Good(body) => read::refunded(&body),
            refused @ (Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost) => {
                refused.answer()
            }
        }
    }

    async fn let_go(&self, call: &Call) -> Answer {
        match self.intent_of(call).await {
            Some(Some(intent)) => self.cancel(call, &intent).await,
            Some(None) => self.close(call).await,
            None => Answer::Lost,
        }
    }

    async fn cancel(&self, call: &Call, intent: &Intent) -> Answer {
        match intent.status {
            // It is gone already, or what is left of it is.
            Status::Canceled | Status::Succeeded => read::let_go(intent),
            Status::Processing | Status::Other => Answer::Lost,
            Status::RequiresCapture
            | Status::RequiresAction
            | Status::RequiresPaymentMethod
            | Status::RequiresConfirmation => {
                let form = Form::default().with("expand[]", "latest_charge");
                let path = format!("/v1/payment_intents/{}/cancel", intent.id);
                match self.post(&path, call.key, &form).await {
                    Reply::Good(body) => read::intent(&body).map_or(Answer::Lost, |gone| read::let_go(&gone)),
                    // It moved meanwhile: it is asked about and let go as it stands then.
                    Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost => Answer::Lost,
                }
            }
        }
    }

    /// Nothing is known there of the authorisation that may still be on its way: its key is taken by an intent that nobody can pay, so that
    /// it is refused when it comes.
    async fn close(&self, call: &Call) -> Answer {
        let Some(key) = call.authorization else { return Answer::Lost };
        match self.post("/v1/payment_intents", key, &intent(call).with("amount", "100")).await {
            Reply::Good(body) => match read::intent(&body) {
                Some(empty) => self.cancel(call, &empty).await,
                None => Answer::Lost,
            },
            // It has come meanwhile: it will be found.
            Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost => Answer::Lost,
        }
    }

    async fn ask(&self, call: &Call) -> Found {
        if call.operation == Operation::Refund {
            let Some(hold) = &call.hold else { return Found::Lost };
            let query = Form::default().with("payment_intent", hold).with("limit", MOST_REFUNDS);
            return match self.get("/v1/refunds", &query).await {
                Reply::Good(body) => read::refund_under(&body, call.key),
                Reply::Declined { .. } | Reply::Missing | Reply::KeyTaken | Reply::Lost => Found::Lost,
            };
        }
        match (self.intent_of(call).await, call.operation) {
            (None, _) => Found::Lost,
            (Some(None), _) => Found::Absent,
            (Some(Some(intent)), Operation::Authorize) => read::asked(read::state_of_hold(&intent)),
            (Some(Some(intent)), Operation::Capture | Operation::Refund) => read::capture_of(&intent),
            (Some(Some(intent)), Operation::Void) => match intent.status {
                Status::Canceled | Status::Succeeded => read::asked(read::let_go(&intent)),
                Status::RequiresCapture
                | Status::RequiresAction
                | Status::RequiresPaymentMethod
                | Status::RequiresConfirmation => Found::Absent,
                Status::Processing | Status::Other => Found::Lost,
            },
        }
    }

    /// The intent the call is about, by its name or by our key in its metadata. The outer None: it could not be asked; the inner: there is
    /// none, or none that the search, which is behind by up to a minute, has seen.
    async fn intent_of(&self, call: &Call) -> Option<Option<Intent>> {
        let reply = match (&call.hold, call.authorization) {
            (Some(hold), _) => {
                let query = Form::default().with("expand[]", "latest_charge");
                self.get(&format!("/v1/payment_intents/{hold}"), &query).await
            }
            (None, Some(key)) => {
                let query = Form::default()
                    .with("query", &format!("metadata['key']:'{key}'"))
                    .with("expand[]", "data.latest_charge");
                self.get("/v1/payment_intents/search", &query).await
            }
            (None, None) => return None,
        };
        match reply {
            Reply::Good(body) if call.hold.is_some() => read::intent(&body).map(Some),
            Reply::Good(body) => read::first_intent(&body),
            Reply::Missing => Some(None),
            Reply::Declined { .. } | Reply::KeyTaken | Reply::Lost => None,
        }
    }
}

/// What every intent of ours says of itself.
fn intent(call: &Call) -> Form {
    let key = call.authorization.unwrap_or(call.key);
    Form::default()
        .with("amount", &call.amount_minor.to_string())
        .with("currency", &call.currency.as_str().to_lowercase())
        .with("capture_method", "manual")
        .with("payment_method_types[]", "card")
        .with("metadata[payment]", &call.payment.to_string())
        .with("metadata[key]", &key.to_string())
}

impl Provider for Stripe {
    fn name(&self) -> &str {
        NAME
    }

    fn authorize<'a>(&'a self, call: &'a Call, method: &'a Method) -> BoxFuture<'a, Answer> {
        self.hold(call, method).boxed()
    }

    fn capture<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.take(call).boxed()
    }

    fn void<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.let_go(call).boxed()
    }

    fn refund<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer> {
        self.give_back(call).boxed()
    }

    fn query<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Found> {
        self.ask(call).boxed()
    }

    fn told(&self, body: &[u8]) -> Reading {
        webhook::read(body)
    }
}
