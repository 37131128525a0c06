//! The holds of new orders. At the rate of a flash sale a call of its own costs more than the hold it asks for, on both sides, so
//! they share a few long streams to inventory, where each is one message. It never asks twice: what has no answer when a stream
//! breaks is refused as UNAVAILABLE, and its buyer asks again, by a call of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use stampede_kit::client::{Channel, request};
use stampede_kit::{Refusal, task};
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::reserve_stream_response::Outcome;
use stampede_proto::inventory::v1::{
    Reservation, ReserveStockRequest, ReserveStreamRequest, ReserveStreamResponse,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::ASK_WITHIN;

/// Streams at once. Each is a task at both ends, so a few of them use all cores.
const LANES: u32 = 4;
/// Holds of one stream that wait for their answers, and as many behind them: inventory decides 256 items of a stream at once.
const IN_FLIGHT: usize = 256;
/// A stream that has lived so long is replaced: nothing is asked on it any more, and it ends with its last answer. Each lane's
/// lives a little longer than the one before, so that they are not replaced together.
const LIFE: Duration = Duration::from_secs(600);
const LIFE_APART: Duration = Duration::from_secs(10);
/// The most a stream may take to its end, last answers included. Inventory allows an hour.
const END: Duration = Duration::from_secs(660);

/// How often a stream is asked whether it still answers.
const LOOK_EVERY: Duration = Duration::from_millis(250);

type Stock = InventoryServiceClient<Channel>;
type Answer = Result<Reservation, Status>;

/// Cheap to clone; clones share the streams, which end with the last of them.
#[derive(Clone)]
pub struct Reserving {
    lanes: Arc<[mpsc::Sender<Hold>]>,
    next: Arc<AtomicUsize>,
}

struct Hold {
    ask: ReserveStockRequest,
    answer: oneshot::Sender<Answer>,
}

/// Who waits for an item, and for which reservation.
struct Waits {
    reservation_id: String,
    answer: oneshot::Sender<Answer>,
}

impl Reserving {
    /// Nothing is connected before the first hold is asked for.
    pub fn start(stock: &Stock) -> Reserving {
        let lane = |nth| {
            let (holds, asked) = mpsc::channel(IN_FLIGHT);
            task::spawn("reserving", lane(stock.clone(), asked, LIFE + LIFE_APART * nth));
            holds
        };
        Reserving { lanes: (0..LANES).map(lane).collect(), next: Arc::default() }
    }

    /// Holds all lines or none. An answer takes as long as a call's may; without one the hold may have been made.
    pub async fn reserve(&self, ask: ReserveStockRequest) -> Answer {
        let lane = &self.lanes[self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len()];
        let answered = async {
            let (answer, answered) = oneshot::channel();
            lane.send(Hold { ask, answer }).await.map_err(|_| unavailable())?;
            // The lane forgets what it waits for when its stream ends.
            answered.await.unwrap_or_else(|_| Err(unavailable()))
        };
        timeout(ASK_WITHIN, answered).await.unwrap_or_else(|_| Err(Refusal::deadline_exceeded().into()))
    }
}

fn unavailable() -> Status {
    Refusal::unavailable("a service this call needs does not answer").into()
}

/// One stream after the other, each opened when something is to be asked.
async fn lane(stock: Stock, mut asked: mpsc::Receiver<Hold>, life: Duration) {
    while let Some(first) = asked.recv().await {
        if first.answer.is_closed() {
            continue;
        }
        let (items, sent) = mpsc::channel(IN_FLIGHT);
        let mut open =
            Open { items: Some(items), waiting: HashMap::new(), last: 0, heard_at: Instant::now() };
        open.ask(first);
        let call = stock.clone();
        if let Err(status) = open.run(call, sent, &mut asked, life).await {
            tracing::debug!(code = ?status.code(), left = open.waiting.len(), "a stream of holds has ended");
            open.fail(&status);
        }
    }
}

/// A stream and who waits for its answers.
struct Open {
    /// Nothing once the stream is asked no more.
    items: Option<mpsc::Sender<ReserveStreamRequest>>,
    /// By the number of the item: inventory counts what it reads, from 1.
    waiting: HashMap<i64, Waits>,
    last: i64,
    /// When the last answer came, or nobody waited.
    heard_at: Instant,
}

impl Open {
    /// Until the stream has had its time and its last answer, breaks, or answers nothing for as long as anybody waits: what is
    /// behind would be held for nobody, and a stream that is dropped is read no further.
    async fn run(
        &mut self,
        mut stock: Stock,
        sent: mpsc::Receiver<ReserveStreamRequest>,
        asked: &mut mpsc::Receiver<Hold>,
        life: Duration,
    ) -> Result<(), Status> {
        let (ends, silent) = (sleep_until(Instant::now() + life), sleep_until(Instant::now() + ASK_WITHIN));
        tokio::pin!(ends, silent);
        let opened = stock.reserve_stream(request(ReceiverStream::new(sent), END));
        let opened = timeout(ASK_WITHIN, opened).await.map_err(|_| unavailable())?;
        let mut answers: Streaming<ReserveStreamResponse> = opened?.into_inner();
        loop {
            let room = self.items.is_some() && self.waiting.len() < IN_FLIGHT;
            tokio::select! {
                biased;
                answer = answers.message() => match answer? {
                    Some(answer) => self.settle(answer)?,
                    None => return Err(unavailable()),
                },
                hold = asked.recv(), if room => match hold {
                    Some(hold) => self.ask(hold),
                    None => self.items = None,
                },
                () = &mut ends, if self.items.is_some() => self.items = None,
                () = &mut silent => {
                    let until = self.heard_at + ASK_WITHIN;
                    if !self.waiting.is_empty() && until <= Instant::now() {
                        return Err(unavailable());
                    }
                    // Looked at now and then, and not moved with every answer.
                    silent.as_mut().reset(until.max(Instant::now() + LOOK_EVERY));
                }
            }
            if self.items.is_none() && self.waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// There is room: as many fit into the channel as may wait. What nobody waits for any more is not asked.
    fn ask(&mut self, Hold { ask, answer }: Hold) {
        let Some(items) = self.items.as_ref().filter(|_| !answer.is_closed()) else { return };
        let reservation_id = ask.reservation_id.clone();
        if items.try_send(ReserveStreamRequest { reserve: Some(ask) }).is_ok() {
            if self.waiting.is_empty() {
                self.heard_at = Instant::now();
            }
            self.last += 1;
            self.waiting.insert(self.last, Waits { reservation_id, answer });
        }
    }

    /// # Errors
    /// The answer is about another reservation than the item was: nothing this stream says can be believed.
    fn settle(&mut self, answer: ReserveStreamResponse) -> Result<(), Status> {
        self.heard_at = Instant::now();
        let Some(waits) = self.waiting.remove(&answer.item) else { return Ok(()) };
        if waits.reservation_id != answer.reservation_id {
            tracing::error!(item = answer.item, "inventory answered for another reservation");
            return Err(unavailable());
        }
        // Whoever asked may have gone meanwhile.
        let _ = waits.answer.send(outcome(answer));
        Ok(())
    }

    fn fail(&mut self, status: &Status) {
        for (_, waits) in self.waiting.drain() {
            let details = bytes::Bytes::copy_from_slice(status.details());
            let _ = waits.answer.send(Err(Status::with_details(status.code(), status.message(), details)));
        }
    }
}

/// The answer a call of its own would have got.
fn outcome(answer: ReserveStreamResponse) -> Answer {
    match (answer.outcome, answer.status) {
        (Some(Outcome::Reserved(held)), _) => Ok(held),
        (Some(Outcome::Refused(_)), Some(status)) => {
            let (code, message) = (Code::from_i32(status.code), status.message.clone());
            Err(Status::with_details(code, message, status.encode_to_vec().into()))
        }
        // An inventory of the program before this one says the word alone.
        (Some(Outcome::Refused(word)), None) => Err(refused(&word)),
        (None, _) => Err(Refusal::internal().into()),
    }
}

fn refused(word: &str) -> Status {
    ErrorReason::from_word(word)
        .map_or_else(Refusal::internal, |reason| {
            let declared = reason.declared();
            Refusal::new(declared.code, declared.word, declared.en)
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_like_that_of_a_call() {
        let refused =
            Refusal::new(Code::FailedPrecondition, "OUT_OF_STOCK", "nothing left").metadata("sku_id", "TEE");
        let called = Status::from(refused);
        let status = tonic_types::Status::decode(called.details()).unwrap();
        let outcome_of = |status| {
            let refused = Some(Outcome::Refused("OUT_OF_STOCK".into()));
            outcome(ReserveStreamResponse { outcome: refused, status, ..Default::default() }).unwrap_err()
        };
        let streamed = outcome_of(Some(status));
        assert_eq!((streamed.code(), streamed.message()), (called.code(), called.message()));
        assert_eq!(streamed.details(), called.details());
        assert_eq!(outcome_of(None).code(), Code::FailedPrecondition);
    }

    #[test]
    fn an_answer_for_another_reservation_ends_the_stream() {
        let (answer, mut answered) = oneshot::channel();
        let waiting = HashMap::from([(1, Waits { reservation_id: "a".into(), answer })]);
        let mut open = Open { items: None, waiting, last: 1, heard_at: Instant::now() };
        let swapped =
            ReserveStreamResponse { item: 1, reservation_id: "b".into(), ..ReserveStreamResponse::default() };
        assert!(open.settle(swapped).is_err());
        assert!(answered.try_recv().is_err(), "nobody is told of somebody else's hold");
    }
}
