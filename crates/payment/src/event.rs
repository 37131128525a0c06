//! What others hear of a payment: each fact, with the state behind it, into the outbox of the fact's own transaction.

use prost::Message as _;
use sqlx::PgConnection;
use stampede_kit::outbox::{self, NewEvent};
use stampede_proto::event::v1::{Event as Envelope, PaymentChanged, event::Fact};
use stampede_proto::timestamp;

use crate::domain::{Event, Payment};
use crate::grpc::wire;

/// # Errors
/// The database's.
pub async fn publish(conn: &mut PgConnection, payment: &Payment, facts: &[Event]) -> Result<(), sqlx::Error> {
    let events: Vec<_> = facts.iter().map(|fact| message(payment, fact)).collect();
    outbox::append(conn, &events).await
}

fn message(payment: &Payment, fact: &Event) -> NewEvent {
    let key = payment.id.to_string();
    let envelope = Envelope {
        event_id: fact.id.to_string(),
        key: key.clone(),
        occurred_at: Some(timestamp(fact.at)),
        fact: Some(Fact::PaymentChanged(PaymentChanged {
            payment_id: key.clone(),
            order_id: payment.terms.as_ref().map(|terms| terms.order.to_string()).unwrap_or_default(),
            state: wire::state(payment.standing().state).into(),
            event: Some(wire::event(payment, fact)),
        })),
    };
    NewEvent { id: fact.id, subject: fact.kind.subject().to_owned(), key, payload: envelope.encode_to_vec() }
}
