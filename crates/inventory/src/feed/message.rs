//! Messages of the feed as they travel: encoded once, framed for gRPC, and shared by everybody who is told the same.

use std::sync::{Mutex, PoisonError};

use prost::Message as _;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockHeartbeat, WatchStockResponse};
use stampede_proto::timestamp;
use time::{Duration, OffsetDateTime};
use tonic::codegen::Bytes;

use super::token::Seal;
use crate::store::feed::Point;

/// One byte that says "not compressed" and four of length stand before every message.
pub const HEADER_BYTES: usize = 5;
/// A heartbeat is good for everybody who is due so soon after it was made.
const SHARED_FOR: Duration = Duration::seconds(1);

/// The message with its frame header.
pub fn frame(sequence: i64, seal: &Seal, point: Point, update: Update) -> Bytes {
    let message = WatchStockResponse { sequence, resume_token: seal.token(point), update: Some(update) };
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(HEADER_BYTES + length);
    frame.push(0);
    frame.extend_from_slice(
        &u32::try_from(length).expect("a message of bounded levels is small").to_be_bytes(),
    );
    message.encode(&mut frame).expect("a vector grows");
    frame.into()
}

/// The last heartbeat that was made.
#[derive(Debug, Default)]
pub(super) struct Heartbeats(Mutex<Option<(Point, OffsetDateTime, Bytes)>>);

impl Heartbeats {
    /// `told` is the highest sequence the watcher has been told: sequences never go back.
    pub fn at(&self, seal: &Seal, point: Point, told: i64, at: OffsetDateTime) -> Bytes {
        let make = |sequence: i64| {
            let heartbeat = StockHeartbeat { at: Some(timestamp(at)) };
            frame(sequence, seal, point, Update::Heartbeat(heartbeat))
        };
        if told > point.sequence {
            return make(told);
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((of, made, bytes)) if *of == point && (*made..*made + SHARED_FOR).contains(&at) => {
                bytes.clone()
            }
            Some(_) | None => {
                let bytes = make(point.sequence);
                *last = Some((point, at, bytes.clone()));
                bytes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn heartbeats_of_the_same_moment_are_the_same_bytes_and_sequences_never_go_back() {
        let (heartbeats, seal) = (Heartbeats::default(), Seal::new(Uuid::nil(), Uuid::nil()));
        let (point, at) = (Point { sequence: 7, horizon: 9 }, OffsetDateTime::UNIX_EPOCH);
        let first = heartbeats.at(&seal, point, 7, at);
        assert_eq!(heartbeats.at(&seal, point, 3, at + SHARED_FOR / 2).as_ptr(), first.as_ptr());
        assert_ne!(heartbeats.at(&seal, point, 3, at + SHARED_FOR), first);
        let ahead = heartbeats.at(&seal, point, 8, at);
        assert_eq!(WatchStockResponse::decode(&ahead[HEADER_BYTES..]).unwrap().sequence, 8);
    }
}
