//! What others hear of a payment: each fact, with the state behind it, into the outbox of the fact's own transaction.

use prost::Message as _;
use sqlx::PgConnection;
use stampede_kit::outbox::{self, NewEvent};
use stampede_proto::event::v1::{Event as Envelope, PaymentChanged, event::Fact};
use stampede_proto::timestamp;

use stampede_proto::payment::v1 as pb;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Conflict, Event, Payment};
use crate::grpc::wire;

const CONFLICTED: &str = "payment.conflicted";
const RESOLVED: &str = "payment.resolved";

/// Of a part nothing: what others hear is said with its whole by [`publish_part`].
///
/// # Errors
/// The database's.
pub async fn publish(conn: &mut PgConnection, payment: &Payment, facts: &[Event]) -> Result<(), sqlx::Error> {
    if payment.part_of.is_some() {
        return Ok(());
    }
    outbox::append(conn, &news(payment, facts)).await
}

/// The same, for whoever writes it; of a payment that is no part.
pub fn news(payment: &Payment, facts: &[Event]) -> Vec<NewEvent> {
    facts.iter().map(|fact| message(payment, payment, fact)).collect()
}

/// What has become of one of several tenders, as news of the whole and with its state.
///
/// # Errors
/// The database's.
pub async fn publish_part(
    conn: &mut PgConnection,
    whole: &Payment,
    part: &Payment,
    facts: &[Event],
) -> Result<(), sqlx::Error> {
    let events: Vec<_> = facts.iter().map(|fact| message(whole, part, fact)).collect();
    outbox::append(conn, &events).await
}

/// News of what the provider claims. It is no fact: nothing of it is believed.
///
/// # Errors
/// The database's.
pub async fn publish_claim(
    conn: &mut PgConnection,
    payment: &Payment,
    number: i64,
    conflict: &Conflict,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let id = payment.id.derive(&format!("conflict/{number}"));
    let news = pb::PaymentEvent {
        event_id: id.to_string(),
        kind: pb::PaymentEventKind::Conflicted.into(),
        amount: conflict.amount_minor.and_then(|amount| payment.money(amount)).map(Into::into),
        provider_reference: conflict.reference.clone().unwrap_or_default(),
        at: Some(timestamp(at)),
    };
    outbox::append(conn, &[envelope(payment, id, CONFLICTED, news, at)]).await
}

/// News that a person has decided.
///
/// # Errors
/// The database's.
pub async fn publish_resolved(
    conn: &mut PgConnection,
    payment: &Payment,
    resolution: Uuid,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let id = payment.id.derive(&format!("resolution/{resolution}"));
    let news = pb::PaymentEvent {
        event_id: id.to_string(),
        kind: pb::PaymentEventKind::Resolved.into(),
        at: Some(timestamp(at)),
        ..pb::PaymentEvent::default()
    };
    outbox::append(conn, &[envelope(payment, id, RESOLVED, news, at)]).await
}

fn message(payment: &Payment, of: &Payment, fact: &Event) -> NewEvent {
    envelope(payment, fact.id, fact.kind.subject(), wire::event(of, fact), fact.at)
}

fn envelope(
    payment: &Payment,
    id: Uuid,
    subject: &str,
    event: pb::PaymentEvent,
    at: OffsetDateTime,
) -> NewEvent {
    // Nobody outside knows a part.
    let key = payment.part_of.map_or(payment.id, |part| part.whole).to_string();
    let envelope = Envelope {
        event_id: id.to_string(),
        key: key.clone(),
        occurred_at: Some(timestamp(at)),
        fact: Some(Fact::PaymentChanged(PaymentChanged {
            payment_id: key.clone(),
            order_id: payment.terms.as_ref().map(|terms| terms.order.to_string()).unwrap_or_default(),
            state: wire::state(payment.standing().state).into(),
            event: Some(event),
        })),
    };
    NewEvent { id, subject: subject.to_owned(), key, payload: envelope.encode_to_vec() }
}
