//! The stock of a new order: all lines or none. A hold that an earlier try with the same key left behind is taken up, or another one is
//! made when that has ended.

use prost_types::Timestamp;
use stampede_kit::postgres::microseconds;
use stampede_proto::inventory::v1::ReservationState;
use stampede_types::{OrderId, ReservationId};
use time::OffsetDateTime;

use super::Asked;
use crate::domain::key;
use crate::domain::pricing::Wanted;
use crate::error::Error;
use crate::orders::Orders;

/// Holds that one key may make: a try that died leaves one behind, and the next try makes the next one once that has ended.
const MAX_HOLDS: u32 = 16;

/// What holds the stock of an order, which order that is, and until when it may be paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) order: OrderId,
    pub(super) reservation: ReservationId,
    pub(super) expires_at: OffsetDateTime,
}

/// What a hold is to a request that asks for it.
#[derive(Debug, Clone, Copy)]
enum Hold {
    Ours(Ours),
    /// It holds, and leaves no time to pay.
    TooShort,
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Ours {
    reservation: ReservationId,
    made_at: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl Ours {
    fn of(self, order: OrderId) -> Held {
        Held { order, reservation: self.reservation, expires_at: self.expires_at }
    }
}

impl Orders {
    /// Holds the stock and says until when the order may be paid: a grace before the hold ends. A hold that an earlier try left behind is
    /// taken up while it lasts.
    pub(super) async fn hold(&self, asked: &Asked, lines: &[Wanted]) -> Result<Held, Error> {
        match self.hold_as(asked, lines, asked.request.first_reservation()).await? {
            Hold::Ours(held) => Ok(held.of(order_of(asked, held.made_at)?)),
            // Apart: few requests come so far, and those that wait for their first hold are many.
            over @ (Hold::TooShort | Hold::Ended) => Box::pin(self.hold_anew(asked, lines, over)).await,
        }
    }

    /// The first hold is of no use any more: the order was written and has come further, or the try that made the hold died before it
    /// wrote any.
    async fn hold_anew(&self, asked: &Asked, lines: &[Wanted], mut last: Hold) -> Result<Held, Error> {
        let mut id = asked.request.first_reservation();
        let first = self.peers.reservation(id).await.map_err(Error::of_peer)?;
        let order = order_of(asked, instant(first.created_at.as_ref())?)?;
        if self.replays.find(vec![order]).await?.is_some() {
            return Err(Error::FirstTryDied);
        }
        for nth in 2..=MAX_HOLDS {
            match last {
                Hold::Ours(held) => return Ok(held.of(order)),
                Hold::TooShort => {
                    // No order stands on it, and one that did would expire at once: its stock is free for the next hold.
                    let outcome = self.peers.release(id).await;
                    tracing::info!(%order, ?outcome, "a hold was left behind by a try that died");
                }
                Hold::Ended => {}
            }
            id = asked.request.later_reservation(nth);
            last = self.hold_as(asked, lines, id).await?;
        }
        match last {
            Hold::Ours(held) => Ok(held.of(order)),
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
        let expires_at = microseconds(instant(reservation.expires_at.as_ref())? - self.hold_grace);
        if expires_at <= self.clock.now() {
            return Ok(Hold::TooShort);
        }
        let made_at = instant(reservation.created_at.as_ref())?;
        Ok(Hold::Ours(Ours { reservation: id, made_at, expires_at }))
    }
}

fn order_of(asked: &Asked, first_held_at: OffsetDateTime) -> Result<OrderId, Error> {
    key::order(asked.request, first_held_at).ok_or(Error::Internal)
}

/// An instant that inventory always tells.
fn instant(told: Option<&Timestamp>) -> Result<OffsetDateTime, Error> {
    told.and_then(stampede_proto::time).ok_or(Error::Internal)
}
