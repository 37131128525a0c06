//! `ReserveStream`: items are decided side by side and answered as they are decided. A task of its own drives them, so that a
//! caller who reads slowly keeps nothing half decided; above [`IN_FLIGHT`] items without a read answer it reads no further.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Stream, StreamExt as _};
use prost::Message as _;
use stampede_kit::contract::Rules;
use stampede_kit::task;
use stampede_proto::inventory::v1::reserve_stream_response::Outcome;
use stampede_proto::inventory::v1::{ReserveStreamRequest, ReserveStreamResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::reserve::Asked;
use crate::domain::Reservation;
use crate::error::{Error, Violation};
use crate::inventory::Inventory;
use crate::reserve::Attempt;
use crate::wire;

/// Items of one stream that are being decided, or whose answers have not been taken.
pub const IN_FLIGHT: usize = 256;

/// An answer holds its place until it is taken.
type Answer = (Result<ReserveStreamResponse, Status>, Option<OwnedSemaphorePermit>);

pub struct Pipeline {
    pub inventory: Inventory,
    pub rules: Rules,
    pub stop: CancellationToken,
    pub attempt: Attempt,
}

impl Pipeline {
    /// The answers to these items, in the order they are decided. It ends when the items do, and when the process drains; what
    /// was read is answered first.
    pub fn answers<S>(self, items: S) -> impl Stream<Item = Result<ReserveStreamResponse, Status>> + Send
    where
        S: Stream<Item = Result<ReserveStreamRequest, Status>> + Send + Unpin + 'static,
    {
        // One place more: the status that ends the stream holds none.
        let (answers, taken) = mpsc::channel(IN_FLIGHT + 1);
        task::spawn("reserve-stream", self.drive(items, answers));
        futures::stream::unfold(taken, |mut taken: mpsc::Receiver<Answer>| async move {
            let (answer, _place) = taken.recv().await?;
            Some((answer, taken))
        })
    }

    async fn drive<S>(self, mut items: S, answers: mpsc::Sender<Answer>)
    where
        S: Stream<Item = Result<ReserveStreamRequest, Status>> + Send + Unpin,
    {
        let places = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut deciding: FuturesUnordered<BoxFuture<'_, Answer>> = FuturesUnordered::new();
        let mut number = 0;
        let ended = loop {
            let next = async {
                let place = places.clone().acquire_owned().await.ok();
                (items.next().await, place)
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Some(Error::Unavailable.into()),
                // Nobody reads the answers any more.
                () = answers.closed() => break None,
                Some(answer) = deciding.next() => deliver(&answers, answer),
                (item, place) = next => match item {
                    Some(Ok(item)) => {
                        number += 1;
                        deciding.push(self.answer(number, item, place).boxed());
                    }
                    Some(Err(status)) => break Some(status),
                    None => break None,
                }
            }
        };
        while let Some(answer) = deciding.next().await {
            deliver(&answers, answer);
        }
        if let Some(status) = ended {
            deliver(&answers, (Err(status), None));
        }
    }

    async fn answer(
        &self,
        number: i64,
        item: ReserveStreamRequest,
        place: Option<OwnedSemaphorePermit>,
    ) -> Answer {
        let reservation_id = item.reserve.as_ref().map(|ask| ask.reservation_id.clone()).unwrap_or_default();
        let answer = ReserveStreamResponse { reservation_id, item: number, ..Default::default() };
        let answer = match self.decide(item).await {
            Ok(held) => {
                let outcome = Outcome::Reserved(wire::reservation(&held));
                ReserveStreamResponse { outcome: Some(outcome), ..answer }
            }
            Err(error) => {
                let retry_after =
                    error.retry_after().and_then(|wait| prost_types::Duration::try_from(wait).ok());
                let outcome = Outcome::Refused(error.reason().declared().word.to_owned());
                let field = error.field().to_owned();
                // A refusal of ours is in the details whole, as `google.rpc.Status` is.
                let status = tonic_types::Status::decode(Status::from(error).details()).ok();
                ReserveStreamResponse { outcome: Some(outcome), field, retry_after, status, ..answer }
            }
        };
        (Ok(answer), place)
    }

    async fn decide(&self, item: ReserveStreamRequest) -> Result<Reservation, Error> {
        if let Some(broken) = self.rules.check(&item.encode_to_vec()).into_iter().next() {
            let field = broken.path.strip_prefix("reserve.").unwrap_or(&broken.path);
            return Err(Violation::new(field, broken.description).into());
        }
        let ask = item.reserve.ok_or_else(|| Violation::new("reserve", "is required"))?;
        let Asked { id, buyer, hold, lines } = Asked::parse(&ask)?;
        self.inventory.reserve(id, buyer, hold, lines, self.attempt).await
    }
}

/// There is room for every answer: each has its place.
fn deliver(answers: &mpsc::Sender<Answer>, answer: Answer) {
    // Refused only when nobody reads any more.
    let _ = answers.try_send(answer);
}
