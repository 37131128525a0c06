//! One batch of rows on its way to JetStream. It never marks a row and never retries: it says which rows are stored
//! there for certain.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use futures::future::join_all;
use time::format_description::well_known::Rfc3339;

use super::rows::Row;
use crate::nats::{Stream, header};

const PROTOBUF: &str = "application/protobuf";
/// An acknowledgement that takes longer is counted as lost; the row is sent again and the stream knows its id.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Publisher {
    jetstream: jetstream::Context,
    stream: Stream,
}

/// The rows that are stored, and what went wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub published: Vec<i64>,
    pub failure: Option<anyhow::Error>,
}

impl Publisher {
    pub(super) fn new(client: async_nats::Client, stream: Stream, in_flight: usize) -> Self {
        let jetstream =
            ContextBuilder::new().timeout(ACKNOWLEDGED_WITHIN).max_ack_inflight(in_flight).build(client);
        Self { jetstream, stream }
    }

    /// Publishes the rows wave by wave. A wave is pipelined and has each key once; the next one begins when every row of
    /// this one is acknowledged. So no event overtakes an earlier one of its key, whatever gets lost on the way.
    pub(super) async fn publish(&self, mut rows: Vec<Row>) -> Outcome {
        let mut outcome = Outcome::default();
        while !rows.is_empty() && outcome.failure.is_none() {
            let (wave, later) = first_of_each_key(rows);
            rows = later;
            self.publish_wave(wave, &mut outcome).await;
        }
        outcome
    }

    async fn publish_wave(&self, wave: Vec<Row>, outcome: &mut Outcome) {
        let mut sent = Vec::with_capacity(wave.len());
        for row in wave {
            let position = row.position;
            match self.send(row).await {
                Ok(acknowledgement) => sent.push(async move { (position, acknowledgement.await) }),
                Err(error) => {
                    outcome.failure = Some(error);
                    break;
                }
            }
        }
        for (position, acknowledged) in join_all(sent).await {
            match acknowledged {
                Ok(_) => outcome.published.push(position),
                Err(error) => {
                    outcome.failure = Some(anyhow::Error::new(error).context(format!("row {position}")))
                }
            }
        }
    }

    async fn send(&self, row: Row) -> anyhow::Result<jetstream::context::PublishAckFuture> {
        let headers = headers(&row, &self.stream)?;
        let message = PublishMessage::build().payload(row.payload.into()).headers(headers);
        let sent = self.jetstream.send_publish(self.stream.subject(&row.subject), message).await;
        sent.with_context(|| format!("row {}", row.position))
    }
}

/// The rows whose key has not been met, and the rest; both in order.
fn first_of_each_key(rows: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
    let mut met = HashSet::new();
    rows.into_iter().partition(|row| met.insert(row.event_key.clone()))
}

/// CloudEvents in binary mode over NATS:
/// <https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md>. There `datacontenttype` is an
/// attribute like any other; `content-type` says the same to whoever knows no CloudEvents.
fn headers(row: &Row, stream: &Stream) -> anyhow::Result<HeaderMap> {
    let id = row.event_id.to_string();
    let source = row.subject.split('.').next().unwrap_or_default();
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| -> anyhow::Result<()> {
        let value: async_nats::HeaderValue =
            value.parse().with_context(|| format!("row {}: {name}", row.position))?;
        headers.insert(name, value);
        Ok(())
    };
    put(header::MESSAGE_ID, id.clone())?;
    put(header::CONTENT_TYPE, PROTOBUF.to_owned())?;
    put(header::CE_DATACONTENTTYPE, PROTOBUF.to_owned())?;
    put(header::CE_SPECVERSION, "1.0".to_owned())?;
    put(header::CE_ID, id)?;
    put(header::CE_TYPE, row.subject.clone())?;
    put(header::CE_SUBJECT, header::encoded(&row.event_key))?;
    put(header::CE_SOURCE, format!("/{}/{source}", stream.prefix))?;
    put(header::CE_TIME, row.created_at.format(&Rfc3339)?)?;
    put(header::CE_PARTITION_KEY, header::encoded(&row.event_key))?;
    if let Some(traceparent) = &row.traceparent {
        put(header::TRACEPARENT, traceparent.clone())?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn row(position: i64, key: &str) -> Row {
        Row {
            position,
            event_id: Uuid::from_u128(position.unsigned_abs().into()),
            subject: "order.placed".to_owned(),
            event_key: key.to_owned(),
            payload: Vec::new(),
            traceparent: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_wave_has_each_key_once_and_leaves_the_rest_in_order() {
        let rows = vec![row(1, "a"), row(2, "b"), row(3, "a"), row(4, "c"), row(5, "a"), row(6, "b")];
        let (wave, later) = first_of_each_key(rows);
        let positions = |rows: &[Row]| rows.iter().map(|row| row.position).collect::<Vec<_>>();
        assert_eq!(positions(&wave), [1, 2, 4]);
        assert_eq!(positions(&later), [3, 5, 6]);
    }

    #[test]
    fn an_event_says_what_it_is_in_cloudevents_headers() {
        let mut placed = row(7, "order-1");
        placed.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        let headers = headers(&placed, &Stream::default()).unwrap();
        let get = |name| headers.get(name).unwrap().as_str().to_owned();
        assert_eq!(get(header::MESSAGE_ID), placed.event_id.to_string());
        assert_eq!(get(header::CE_TYPE), "order.placed");
        assert_eq!(get(header::CE_SOURCE), "/stampede/order");
        assert_eq!(get(header::CE_TIME), "1970-01-01T00:00:00Z");
        assert_eq!(get(header::CE_PARTITION_KEY), "order-1");
        assert_eq!(get(header::CE_SUBJECT), "order-1");
        assert_eq!(get(header::CE_DATACONTENTTYPE), "application/protobuf");
        assert_eq!(get(header::TRACEPARENT), placed.traceparent.unwrap());
    }
}
