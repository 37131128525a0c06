//! What an order may do: a small machine over the states that its owner sees, one row for each change. It is written from what the
//! contract promises and knows nothing of the program: an order that was seen to do anything else is a failure.

pub mod answer;
pub mod card;
mod placed;
mod rules;
pub mod till;

use stampede_proto::order::v1::OrderFulfilmentState as F;
use stampede_proto::order::v1::OrderPaymentState as P;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::OrderStockState as S;

pub use rules::{after, ahead};

use super::record::{Life, Standing, View};

/// Why an order has ended whose money came too late.
const PAID_TOO_LATE: &str = "PAID_TOO_LATE";

/// A new order.
pub const PLACED: Standing = Standing { state: O::AwaitingPayment, payment: P::Unpaid, stock: S::Held };

/// Whether money may be found when the order of this life has ended: a hold that the provider did not let go of.
pub fn may_be_late(life: &Life) -> bool {
    life.cards(i64::MAX).any(|card| card.void != card::Word::Yes)
}

/// Whether an order that was seen as `earlier` can be seen as `later`; `late` when money may be found after its end.
pub fn follows(earlier: &View, later: &View, late: bool) -> Result<(), String> {
    let changes = later.version - earlier.version;
    if changes == 0 && earlier != later {
        return Err(format!("version {} was told in two ways: {earlier:?} and {later:?}", later.version));
    }
    if !after(earlier.standing, changes, late).contains(&later.standing) {
        return Err(format!("{changes} changes led from {:?} to {:?}", earlier.standing, later.standing));
    }
    let told = later.end_reason == PAID_TOO_LATE && earlier.end_reason != PAID_TOO_LATE;
    if changes > 0 && is_over(earlier.standing.state) && earlier.standing == later.standing && !told {
        return Err(format!("it was over, and has changed: {earlier:?}, {later:?}"));
    }
    for (id, parcel) in &earlier.parcels {
        if !later
            .parcels
            .get(id)
            .is_some_and(|now| now.units == parcel.units && now.arrived >= parcel.arrived)
        {
            return Err(format!("parcel {id} was {parcel:?} and is {:?}", later.parcels.get(id)));
        }
    }
    for (id, back) in &earlier.backs {
        let now = later.backs.get(id);
        if !now.is_some_and(|now| now.units == back.units && now.state as i32 >= back.state as i32) {
            return Err(format!("return {id} was {back:?} and is {now:?}"));
        }
        if back.refund.is_some() && now.is_some_and(|now| now.refund != back.refund) {
            return Err(format!("return {id} was worth {:?} and is {now:?}", back.refund));
        }
    }
    // Late money buys the stock of another hold.
    let hold = |view: &View| (!late).then_some(view.reservation);
    let bought = |view: &View| {
        (view.id, view.units.clone(), view.promotions.clone(), view.total, hold(view), view.expires_at)
    };
    let same = bought(earlier) == bought(later);
    if same { Ok(()) } else { Err(format!("what was bought has changed: {earlier:?}, {later:?}")) }
}

/// Whether the warehouse's side belongs beside an order in this state.
pub fn beside(state: O) -> F {
    match state {
        O::Fulfilling => F::PartiallyShipped,
        O::Shipped => F::Shipped,
        O::Delivered | O::Completed => F::Delivered,
        O::Unspecified
        | O::AwaitingPayment
        | O::Confirmed
        | O::Rejected
        | O::Expired
        | O::Cancelling
        | O::Cancelled
        | O::ManualReview => F::None,
    }
}

/// Sold: its money is kept and its stock is gone.
pub fn is_sold(state: O) -> bool {
    match state {
        O::Confirmed | O::Fulfilling | O::Shipped | O::Delivered | O::Completed => true,
        O::Unspecified
        | O::AwaitingPayment
        | O::Rejected
        | O::Expired
        | O::Cancelling
        | O::Cancelled
        | O::ManualReview => false,
    }
}

/// Nothing happens to it any more.
pub fn is_over(state: O) -> bool {
    match state {
        O::Completed | O::Rejected | O::Expired | O::Cancelled => true,
        O::Unspecified
        | O::AwaitingPayment
        | O::Confirmed
        | O::Fulfilling
        | O::Shipped
        | O::Delivered
        | O::Cancelling
        | O::ManualReview => false,
    }
}
