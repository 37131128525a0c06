//! Messages to values and back. What the contract's field rules cannot say is refused here with the field's path.

use stampede_proto::payment::v1 as pb;
use stampede_proto::timestamp;
use stampede_types::card::{NO_CARD_NUMBER, has_card_number};
use stampede_types::tenders::{TENDERS, worth};
use stampede_types::{Money, OrderId, PaymentId};
use uuid::Uuid;

use crate::authorize::Authorize;
use crate::domain::{
    CaptureMode, Event, EventKind, Method, MethodKind, PayerAction, Payment, State, Tender, Terms, Token,
};
use crate::error::Error;

const UUID: &str = "must be a UUID";

impl TryFrom<pb::AuthorizePaymentRequest> for Authorize {
    type Error = Error;

    fn try_from(request: pb::AuthorizePaymentRequest) -> Result<Self, Error> {
        let amount =
            amount(request.amount)?.ok_or(Error::Invalid { field: "amount", rule: "must be set" })?;
        if amount.amount_minor() <= 0 {
            return Err(Error::Invalid { field: "amount.amount_minor", rule: "must be above 0" });
        }
        let (method, tenders) = method(request.method, amount)?;
        let capture = capture(request.capture)?;
        let one_method = match capture {
            CaptureMode::Manual => None,
            CaptureMode::Automatic => Some("must be manual with several tenders"),
            CaptureMode::Multiple => Some("must be one method when captured in parts over time"),
        };
        if let Some(rule) = one_method.filter(|_| !tenders.is_empty()) {
            return Err(Error::Invalid { field: "capture", rule });
        }
        let order = OrderId::new(id("order_id", &request.order_id)?);
        let terms = Terms { order, amount, method, tenders, capture };
        Ok(Self { payment: payment_id(&request.payment_id)?, terms })
    }
}

pub fn payment_id(text: &str) -> Result<PaymentId, Error> {
    id("payment_id", text).map(PaymentId::new)
}

pub fn id(field: &'static str, text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::Invalid { field, rule: UUID })
}

pub fn amount(wire: Option<stampede_proto::common::v1::Money>) -> Result<Option<Money>, Error> {
    wire.map(Money::try_from)
        .transpose()
        .map_err(|_| Error::Invalid { field: "amount.currency", rule: "must be an ISO 4217 code" })
}

fn capture(wire: i32) -> Result<CaptureMode, Error> {
    match pb::CaptureMode::try_from(wire) {
        Ok(pb::CaptureMode::Unspecified | pb::CaptureMode::Manual) => Ok(CaptureMode::Manual),
        Ok(pb::CaptureMode::Automatic) => Ok(CaptureMode::Automatic),
        Ok(pb::CaptureMode::Multiple) => Ok(CaptureMode::Multiple),
        Err(_) => Err(Error::Invalid { field: "capture", rule: "must be a mode of this version" }),
    }
}

/// The method, and the tenders when it is several.
fn method(wire: Option<pb::PaymentMethod>, total: Money) -> Result<(Method, Vec<Tender>), Error> {
    use pb::payment_method::Method as Wire;
    let method = match wire.and_then(|method| method.method) {
        Some(Wire::Card(card)) => single(MethodKind::Card, card.token)?,
        Some(Wire::Alipay(alipay)) => single(MethodKind::Alipay, alipay.session)?,
        Some(Wire::WechatPay(wechat)) => single(MethodKind::WechatPay, wechat.session)?,
        Some(Wire::StoredValue(stored)) => single(MethodKind::StoredValue, stored.account)?,
        Some(Wire::Tenders(several)) => return Ok((Method::tenders(), tenders(several.tenders, total)?)),
        None => return Err(Error::Invalid { field: "method", rule: "must be set" }),
    };
    Ok((method, Vec::new()))
}

fn single(kind: MethodKind, token: String) -> Result<Method, Error> {
    // A provider's own name for what one pays with is no card number, and one that is goes no further.
    free_of_cards("method", &token)?;
    Ok(Method { kind, token: Token::new(token) })
}

/// They are worth what is to be paid, each of them something; the last one may be worth whatever is left.
fn tenders(wire: Vec<pb::Tender>, total: Money) -> Result<Vec<Tender>, Error> {
    use pb::tender::Method as Wire;
    let invalid = |rule| Error::Invalid { field: "method.tenders", rule };
    if !TENDERS.contains(&wire.len()) {
        return Err(invalid("must be 2 to 4"));
    }
    let (mut methods, mut amounts) = (Vec::new(), Vec::new());
    for tender in wire {
        methods.push(match tender.method {
            Some(Wire::Card(card)) => single(MethodKind::Card, card.token)?,
            Some(Wire::Alipay(alipay)) => single(MethodKind::Alipay, alipay.session)?,
            Some(Wire::WechatPay(wechat)) => single(MethodKind::WechatPay, wechat.session)?,
            Some(Wire::StoredValue(stored)) => single(MethodKind::StoredValue, stored.account)?,
            None => return Err(invalid("must each have a method")),
        });
        amounts.push(amount(tender.amount)?);
    }
    let worth = worth(total, &amounts).map_err(invalid)?;
    Ok(worth.into_iter().zip(methods).map(|(amount, method)| Tender { amount, method }).collect())
}

/// # Errors
/// It carries a card number: none is ever kept.
pub fn free_of_cards(field: &'static str, text: &str) -> Result<(), Error> {
    if has_card_number(text) { Err(Error::Invalid { field, rule: NO_CARD_NUMBER }) } else { Ok(()) }
}

pub fn payment(payment: &Payment) -> pb::Payment {
    let standing = payment.standing();
    let money = |amount| payment.money(amount).map(Into::into);
    pb::Payment {
        payment_id: payment.id.to_string(),
        order_id: payment.terms.as_ref().map(|terms| terms.order.to_string()).unwrap_or_default(),
        state: state(standing.state).into(),
        amount: payment.terms.as_ref().map(|terms| terms.amount.into()),
        authorized: money(standing.amounts.authorized_minor),
        captured: money(standing.amounts.captured_minor),
        refunded: money(standing.amounts.refunded_minor),
        refund_pending: money(standing.pending.refund_minor),
        decline: payment.decline.clone().unwrap_or_default(),
        events: payment.all_events().into_iter().map(|fact| event(payment, fact)).collect(),
        created_at: Some(timestamp(payment.created_at)),
        voided: money(standing.amounts.voided_minor),
        disputed: money(standing.amounts.disputed_minor),
        dispute_lost: money(standing.amounts.lost_minor),
        action: payment.action().map(action),
        hold_expires_at: payment.hold_expires_at().map(timestamp),
    }
}

fn action(action: &PayerAction) -> pb::PaymentAction {
    pb::PaymentAction {
        redirect_url: action.url.expose().to_owned(),
        expires_at: Some(timestamp(action.expires_at)),
    }
}

pub fn event(payment: &Payment, event: &Event) -> pb::PaymentEvent {
    pb::PaymentEvent {
        event_id: event.id.to_string(),
        kind: kind(event.kind).into(),
        amount: payment.money(event.amount_minor).map(Into::into),
        provider_reference: event.reference.clone().unwrap_or_default(),
        at: Some(timestamp(event.at)),
    }
}

pub const fn state(state: State) -> pb::PaymentState {
    match state {
        State::RequiresAction => pb::PaymentState::RequiresAction,
        State::Processing => pb::PaymentState::Processing,
        State::Unknown => pb::PaymentState::Unknown,
        State::Authorized => pb::PaymentState::Authorized,
        State::PartiallyCaptured => pb::PaymentState::PartiallyCaptured,
        State::Captured => pb::PaymentState::Captured,
        State::Voided => pb::PaymentState::Voided,
        State::Failed => pb::PaymentState::Failed,
        State::Expired => pb::PaymentState::Expired,
        State::Conflicted => pb::PaymentState::Conflicted,
    }
}

pub const fn kind(kind: EventKind) -> pb::PaymentEventKind {
    match kind {
        EventKind::Authorized => pb::PaymentEventKind::Authorized,
        EventKind::Declined => pb::PaymentEventKind::Declined,
        EventKind::Captured => pb::PaymentEventKind::Captured,
        EventKind::CaptureCorrected => pb::PaymentEventKind::CaptureCorrected,
        EventKind::Voided => pb::PaymentEventKind::Voided,
        EventKind::RefundPending => pb::PaymentEventKind::RefundPending,
        EventKind::Refunded => pb::PaymentEventKind::Refunded,
        EventKind::RefundFailed => pb::PaymentEventKind::RefundFailed,
        EventKind::DisputeOpened => pb::PaymentEventKind::DisputeOpened,
        EventKind::RefundReversed => pb::PaymentEventKind::RefundReversed,
        EventKind::DisputeClosed => pb::PaymentEventKind::DisputeClosed,
        EventKind::DisputeLost => pb::PaymentEventKind::DisputeLost,
        EventKind::Expired => pb::PaymentEventKind::Expired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6f0d2c2e-7c5b-4b0e-9a53-0f3c5a1f0001";

    fn card(token: &str) -> Option<pb::PaymentMethod> {
        let card = pb::CardToken { token: token.into() };
        Some(pb::PaymentMethod { method: Some(pb::payment_method::Method::Card(card)) })
    }

    fn two_tenders() -> Option<pb::PaymentMethod> {
        let tender = |amount_minor| pb::Tender {
            amount: Some(stampede_proto::common::v1::Money { amount_minor, currency: "EUR".into() }),
            method: Some(pb::tender::Method::Card(pb::CardToken { token: "tok_visa".into() })),
        };
        let tenders = pb::Tenders { tenders: vec![tender(30), tender(70)] };
        Some(pb::PaymentMethod { method: Some(pb::payment_method::Method::Tenders(tenders)) })
    }

    fn request() -> pb::AuthorizePaymentRequest {
        pb::AuthorizePaymentRequest {
            payment_id: ID.into(),
            order_id: ID.into(),
            amount: Some(stampede_proto::common::v1::Money { amount_minor: 100, currency: "EUR".into() }),
            method: card("tok_visa"),
            capture: pb::CaptureMode::Automatic.into(),
        }
    }

    #[test]
    fn what_the_field_rules_cannot_say_is_refused_by_field() {
        assert!(Authorize::try_from(request()).is_ok());
        let multiple = pb::AuthorizePaymentRequest { capture: pb::CaptureMode::Multiple.into(), ..request() };
        let read = Authorize::try_from(multiple.clone()).map(|asked| asked.terms.capture);
        assert!(matches!(read, Ok(CaptureMode::Multiple)));
        let nothing = Some(stampede_proto::common::v1::Money { amount_minor: 0, currency: "EUR".into() });
        for (wrong, path) in [
            (pb::AuthorizePaymentRequest { amount: None, ..request() }, "amount"),
            (pb::AuthorizePaymentRequest { amount: nothing, ..request() }, "amount.amount_minor"),
            (pb::AuthorizePaymentRequest { method: None, ..request() }, "method"),
            (pb::AuthorizePaymentRequest { method: card("tok_4111111111111111"), ..request() }, "method"),
            (pb::AuthorizePaymentRequest { order_id: "7".into(), ..request() }, "order_id"),
            (pb::AuthorizePaymentRequest { capture: 7, ..request() }, "capture"),
            (pb::AuthorizePaymentRequest { method: two_tenders(), ..multiple }, "capture"),
        ] {
            let refused = Authorize::try_from(wrong).map(drop);
            assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == path), "{path}");
        }
    }

    #[test]
    fn every_state_and_kind_has_its_name_on_the_wire() {
        for known in State::ALL {
            assert_eq!(state(known).as_str_name(), format!("PAYMENT_STATE_{known}"));
        }
        for known in EventKind::ALL {
            assert_eq!(kind(known).as_str_name(), format!("PAYMENT_EVENT_KIND_{}", known.as_str()));
        }
    }
}
