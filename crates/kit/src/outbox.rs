//! What others must hear, written in the transaction that made it true and published afterwards. A crash between the
//! two loses nothing: the row is there, and the relay of the next process finds it.
//! It never publishes from a request and never fails a request because NATS is away.

mod publish;
mod relay;
mod rows;
mod watch;

use sqlx::PgConnection;
use uuid::Uuid;

pub use relay::{Relay, Wake, relay};
pub use watch::{prune, prune_others};

/// The largest payload: well below what NATS takes, headers included.
pub const MAX_PAYLOAD_BYTES: usize = 512 * 1024;
/// The longest subject or key.
pub const MAX_NAME_BYTES: usize = 200;

/// One thing that others must hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Also the message id by which the stream and the inboxes know a repetition.
    pub id: Uuid,
    /// Relative to the stream's prefix: `order.placed`.
    pub subject: String,
    /// Events of one key are published in order: the order's id, the SKU.
    pub key: String,
    pub payload: Vec<u8>,
}

/// What can never be published must not be written: it would be retried for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpublishable {
    #[error(
        "an event's subject is not words of letters, digits, - and _ with dots between, of at most {MAX_NAME_BYTES} bytes"
    )]
    Subject,
    #[error("an event's key has control characters or more than {MAX_NAME_BYTES} bytes")]
    Key,
    #[error("an event's payload has more than {MAX_PAYLOAD_BYTES} bytes")]
    Payload,
}

/// An event and the trace it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub event: NewEvent,
    /// W3C `traceparent`, of `telemetry::recorded_traceparent`.
    pub traceparent: Option<String>,
}

/// Like [`append`], for events of several requests that are written together: each with its own trace.
pub async fn append_traced(conn: &mut PgConnection, events: &[Traced]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    check_all(events.iter().map(|traced| &traced.event))?;
    let traces: Vec<_> = events.iter().map(|traced| traced.traceparent.as_deref()).collect();
    rows::insert(conn, events.iter().map(|traced| &traced.event), &traces).await
}

/// Writes the events in the caller's transaction, in one statement, with the current trace. Take the lock on the row an
/// event is about first: then the events of that key get their positions in the order of their transactions.
///
/// An event that is `Unpublishable` is an `Encode` error, and none is written.
pub async fn append(conn: &mut PgConnection, events: &[NewEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    check_all(events.iter())?;
    let trace = crate::telemetry::current_traceparent();
    rows::insert(conn, events.iter(), &vec![trace.as_deref(); events.len()]).await
}

fn check_all<'a>(mut events: impl Iterator<Item = &'a NewEvent>) -> Result<(), sqlx::Error> {
    events.try_for_each(check).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn check(event: &NewEvent) -> Result<(), Unpublishable> {
    let word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if event.subject.len() > MAX_NAME_BYTES || !event.subject.split('.').all(word) {
        return Err(Unpublishable::Subject);
    }
    if event.key.len() > MAX_NAME_BYTES || event.key.chars().any(char::is_control) {
        return Err(Unpublishable::Key);
    }
    if event.payload.len() > MAX_PAYLOAD_BYTES {
        return Err(Unpublishable::Payload);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nats_would_refuse_for_ever_is_refused_before_it_is_written() {
        let event = |subject: &str, key: &str, bytes| NewEvent {
            id: Uuid::nil(),
            subject: subject.to_owned(),
            key: key.to_owned(),
            payload: vec![0; bytes],
        };
        assert_eq!(check(&event("order.placed", "k", 10)), Ok(()));
        for subject in ["", "order..placed", "order placed", "order.*", "order.>", &"x".repeat(201)] {
            assert_eq!(check(&event(subject, "k", 10)), Err(Unpublishable::Subject), "{subject}");
        }
        assert_eq!(check(&event("order.placed", "k\r\nNats-Msg-Id: 1", 10)), Err(Unpublishable::Key));
        assert_eq!(check(&event("order.placed", "k", MAX_PAYLOAD_BYTES + 1)), Err(Unpublishable::Payload));
    }
}
