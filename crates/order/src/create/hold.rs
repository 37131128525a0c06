//! The stock of a new order: all lines or none. A hold that an earlier try with the same key left behind is taken up, or another one is
//! made when that has ended.

use stampede_kit::postgres::microseconds;
use stampede_proto::inventory::v1::ReservationState;
use stampede_types::ReservationId;
use time::OffsetDateTime;

use super::Asked;
use crate::domain::pricing::Wanted;
use crate::error::Error;
use crate::orders::Orders;

/// Holds that one key may make: a try that died leaves one behind, and the next try makes the next one once that has ended.
const MAX_HOLDS: u32 = 16;

/// What holds the stock of an order, and until when it may be paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) reservation: ReservationId,
    pub(super) expires_at: OffsetDateTime,
}

/// What a hold is to a request that asks for it.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Ours(Held),
    /// It holds, and leaves no time to pay.
    TooShort,
    Ended,
}

impl Orders {
    /// Holds the stock and says until when the order may be paid: a grace before the hold ends. A hold that an earlier try left behind is
    /// taken up while it lasts.
    pub(super) async fn hold(&self, asked: &Asked, lines: &[Wanted]) -> Result<Held, Error> {
        match self.hold_as(asked, lines, asked.id.reservation()).await? {
            Hold::Ours(held) => Ok(held),
            // Apart: few requests come so far, and those that wait for their first hold are many.
            over @ (Hold::TooShort | Hold::Ended) => Box::pin(self.hold_anew(asked, lines, over)).await,
        }
    }

    /// The first hold is of no use any more: the order was written and has come further, or the try that made the hold died before it
    /// wrote any.
    async fn hold_anew(&self, asked: &Asked, lines: &[Wanted], mut last: Hold) -> Result<Held, Error> {
        if self.replays.find(asked.id).await?.is_some() {
            return Err(Error::FirstTryDied);
        }
        let mut id = asked.id.reservation();
        for nth in 2..=MAX_HOLDS {
            match last {
                Hold::Ours(held) => return Ok(held),
                Hold::TooShort => {
                    // No order stands on it, and one that did would expire at once: its stock is free for the next hold.
                    let outcome = self.peers.release(id).await;
                    tracing::info!(order = %asked.id, ?outcome, "a hold was left behind by a try that died");
                }
                Hold::Ended => {}
            }
            id = ReservationId::new(asked.id.derive(&format!("reservation/{nth}")));
            last = self.hold_as(asked, lines, id).await?;
        }
        match last {
            Hold::Ours(held) => Ok(held),
            Hold::TooShort | Hold::Ended => Err(Error::FirstTryDied),
        }
    }

    async fn hold_as(&self, asked: &Asked, lines: &[Wanted], id: ReservationId) -> Result<Hold, Error> {
        let hold = self.payment_window + self.hold_grace;
        let reserved = self.peers.reserve(id, &asked.buyer, lines, hold, asked.repeated).await;
        let reservation = match reserved.map_err(Error::of_peer) {
            Ok(reservation) => reservation,
            Err(Error::FirstTryDied) => return Ok(Hold::Ended),
            Err(refused) => return Err(refused),
        };
        match reservation.state() {
            ReservationState::Pending => {}
            ReservationState::Committed
            | ReservationState::Released
            | ReservationState::Expired
            | ReservationState::Unspecified => return Ok(Hold::Ended),
        }
        let ends = reservation.expires_at.as_ref().and_then(stampede_proto::time).ok_or(Error::Internal)?;
        let expires_at = microseconds(ends - self.hold_grace);
        if expires_at <= self.clock.now() {
            return Ok(Hold::TooShort);
        }
        Ok(Hold::Ours(Held { reservation: id, expires_at }))
    }
}
