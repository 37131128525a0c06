//! What Stripe's objects say of a hold, a capture, a void and a refund. A shape that is not understood is no answer.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::talk::ApiError;
use crate::domain::{Answer, PayerAction, Token};
use crate::provider::Found;

/// How long a payer has for what his bank asks of him; Stripe names no end of it, so that we close the intent then.
const SESSION: Duration = Duration::minutes(15);

/// A PaymentIntent, as far as it is believed.
#[derive(Debug, Deserialize)]
pub struct Intent {
    pub id: String,
    pub status: Status,
    pub amount: i64,
    #[serde(default)]
    pub amount_capturable: i64,
    #[serde(default)]
    pub amount_received: i64,
    pub currency: String,
    pub created: i64,
    pub next_action: Option<NextAction>,
    pub last_payment_error: Option<ApiError>,
    pub latest_charge: Option<ChargeOrId>,
    pub cancellation_reason: Option<String>,
    #[serde(default)]
    pub metadata: HashMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

/// Its name, or all of it when it was asked for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ChargeOrId {
    Id(String),
    Charge(Charge),
}

#[derive(Debug, Deserialize)]
pub struct Charge {
    id: String,
    status: String,
    amount: i64,
    #[serde(default)]
    amount_captured: i64,
    payment_method_details: Option<Details>,
}

#[derive(Debug, Deserialize)]
struct Details {
    card: Option<CardDetails>,
}

#[derive(Debug, Deserialize)]
struct CardDetails {
    /// Until when it may be captured: seconds since 1970.
    capture_before: Option<i64>,
}

/// A Refund.
#[derive(Debug, Deserialize)]
pub struct Refund {
    pub id: String,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    pub failure_reason: Option<String>,
    pub payment_intent: Option<String>,
    #[serde(default)]
    pub metadata: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

/// Nothing, with a complaint, when it is no such object.
fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    // What was found stays out of it: a redirect opens the payer's session.
    serde_json::from_slice(body).inspect_err(|_| tracing::error!("the provider's answer has no meaning")).ok()
}

pub fn intent(body: &[u8]) -> Option<Intent> {
    object(body)
}

/// The one intent of a search; the inner None: there is none.
pub fn first_intent(body: &[u8]) -> Option<Option<Intent>> {
    Some(object::<List<Intent>>(body)?.data.into_iter().next())
}

/// What came of asking for a hold.
pub fn held(body: &[u8]) -> Answer {
    intent(body).map_or(Answer::Lost, |intent| state_of_hold(&intent))
}

pub fn state_of_hold(intent: &Intent) -> Answer {
    let done = |amount_minor| Answer::Done {
        reference: intent.id.clone(),
        amount_minor,
        currency: intent.currency.to_uppercase(),
        hold_expires_at: intent.charge().and_then(Charge::capture_before),
    };
    let refused = |decline: String| Answer::Refused { reference: Some(intent.id.clone()), decline };
    match intent.status {
        Status::RequiresCapture => done(intent.amount_capturable),
        // It was held, and taken since.
        Status::Succeeded => done(intent.amount),
        Status::Canceled => match intent.charge() {
            Some(charge) if charge.status == "succeeded" => done(charge.amount),
            Some(_) | None => refused("canceled".to_owned()),
        },
        Status::RequiresPaymentMethod => match &intent.last_payment_error {
            Some(error) => refused(error.class()),
            None => Answer::Lost,
        },
        Status::RequiresAction => match (&intent.next_action, until(intent.created)) {
            (Some(NextAction { redirect_to_url: Some(redirect) }), Some(expires_at)) => Answer::Action {
                reference: Some(intent.id.clone()),
                action: PayerAction { url: Token::new(redirect.url.clone()), expires_at },
            },
            (Some(_) | None, _) => Answer::Lost,
        },
        Status::RequiresConfirmation | Status::Processing | Status::Other => Answer::Lost,
    }
}

fn until(created: i64) -> Option<OffsetDateTime> {
    Some(OffsetDateTime::from_unix_timestamp(created).ok()? + SESSION)
}

/// What came of a capture.
pub fn captured(body: &[u8]) -> Answer {
    intent(body).map_or(Answer::Lost, |intent| or_lost(capture_of(&intent)))
}

/// What became of the one capture of an intent.
pub fn capture_of(intent: &Intent) -> Found {
    match (intent.status, intent.charge()) {
        (Status::Succeeded, Some(charge)) => Found::Known(Answer::Done {
            reference: charge.id.clone(),
            amount_minor: intent.amount_received,
            currency: intent.currency.to_uppercase(),
            hold_expires_at: None,
        }),
        (Status::RequiresCapture, _) => Found::Absent,
        (Status::Canceled, _) => Found::Known(Answer::Refused {
            reference: Some(intent.id.clone()),
            decline: "authorization_expired".to_owned(),
        }),
        (Status::Succeeded, None)
        | (
            Status::RequiresPaymentMethod
            | Status::RequiresConfirmation
            | Status::RequiresAction
            | Status::Processing
            | Status::Other,
            _,
        ) => Found::Lost,
    }
}

/// What a cancelled intent has let go of, or what a captured one left.
pub fn let_go(intent: &Intent) -> Answer {
    let amount_minor = match (intent.charge(), &intent.latest_charge) {
        (Some(charge), _) if charge.status == "succeeded" => charge.amount - charge.amount_captured,
        (Some(_), _) | (None, None) => 0,
        // It has one, and what that was is not said.
        (None, Some(_)) => return Answer::Lost,
    };
    let (reference, currency) = (intent.id.clone(), intent.currency.to_uppercase());
    Answer::Done { reference, amount_minor, currency, hold_expires_at: None }
}

pub fn refunded(body: &[u8]) -> Answer {
    object::<Refund>(body).map_or(Answer::Lost, |refund| refund.answer())
}

/// The refund that was made under this key.
pub fn refund_under(body: &[u8], key: Uuid) -> Found {
    let Some(List { data, has_more }) = object::<List<Refund>>(body) else { return Found::Lost };
    let key = key.to_string();
    match data.iter().find(|refund| refund.metadata.get("key") == Some(&key)) {
        Some(refund) => asked(refund.answer()),
        None if has_more => Found::Lost,
        None => Found::Absent,
    }
}

impl Charge {
    fn capture_before(&self) -> Option<OffsetDateTime> {
        let before = self.payment_method_details.as_ref()?.card.as_ref()?.capture_before?;
        OffsetDateTime::from_unix_timestamp(before).ok()
    }
}

impl Refund {
    /// One that is on its way is not known yet.
    pub fn answer(&self) -> Answer {
        match self.status.as_str() {
            "succeeded" => Answer::Done {
                reference: self.id.clone(),
                amount_minor: self.amount,
                currency: self.currency.to_uppercase(),
                hold_expires_at: None,
            },
            "failed" | "canceled" => Answer::Refused {
                reference: Some(self.id.clone()),
                decline: self.failure_reason.clone().unwrap_or_else(|| "unspecified".to_owned()),
            },
            _ => Answer::Lost,
        }
    }
}

impl Intent {
    pub fn charge_id(&self) -> Option<&str> {
        match &self.latest_charge {
            Some(ChargeOrId::Charge(charge)) => Some(&charge.id),
            Some(ChargeOrId::Id(id)) => Some(id),
            None => None,
        }
    }

    fn charge(&self) -> Option<&Charge> {
        match &self.latest_charge {
            Some(ChargeOrId::Charge(charge)) => Some(charge),
            Some(ChargeOrId::Id(_)) | None => None,
        }
    }
}

/// What was found out by asking.
pub fn asked(answer: Answer) -> Found {
    match answer {
        Answer::Lost => Found::Lost,
        known @ (Answer::Done { .. } | Answer::Refused { .. } | Answer::Action { .. }) => Found::Known(known),
    }
}

pub fn or_lost(found: Found) -> Answer {
    match found {
        Found::Known(answer) => answer,
        Found::Absent | Found::Lost => Answer::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_says_until_when_where_its_charge_is_shown() {
        let held = |charge: &str| {
            let intent = format!(
                r#"{{"id":"pi_1","status":"requires_capture","amount":100,"amount_capturable":100,"currency":"eur","created":1,
                    "latest_charge":{charge}}}"#
            );
            match held(intent.as_bytes()) {
                Answer::Done { hold_expires_at, .. } => hold_expires_at.map(OffsetDateTime::unix_timestamp),
                other @ (Answer::Refused { .. } | Answer::Action { .. } | Answer::Lost) => {
                    panic!("{other:?}")
                }
            }
        };
        let charge = |details| format!(r#"{{"id":"ch_1","status":"succeeded","amount":100{details}}}"#);
        let said = r#","payment_method_details":{"card":{"capture_before":900}}"#;
        assert_eq!(held(&charge(said)), Some(900));
        assert_eq!((held(&charge("")), held(r#""ch_1""#)), (None, None));
    }
}
