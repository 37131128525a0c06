//! What buyers, staff and banks do about an order, and what of it makes sense as the order stands.

use stampede_proto::order::v1::OrderPaymentState as P;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::ReturnState;

use crate::harness::orders::model::{is_over, is_sold};
use crate::harness::orders::record::{View, without};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    Pay,
    PayTwice,
    Cancel,
    CancelTwice,
    PayAndCancel,
    ShipPart,
    ShipRest,
    ShipAndCancel,
    Deliver,
    AskBack,
    AskBackTwice,
    Approve,
    Reject,
    Receive,
    ReceiveTwice,
    Review,
    /// A buyer's bank sends back what it was given.
    ComesBack,
    /// The same key once more, for the same.
    PlaceAgain,
    /// The same key once more, for something else.
    PlaceOther,
    Look,
    Rest,
}

impl Move {
    pub const ALL: [Move; 21] = [
        Move::Pay,
        Move::PayTwice,
        Move::Cancel,
        Move::CancelTwice,
        Move::PayAndCancel,
        Move::ShipPart,
        Move::ShipRest,
        Move::ShipAndCancel,
        Move::Deliver,
        Move::AskBack,
        Move::AskBackTwice,
        Move::Approve,
        Move::Reject,
        Move::Receive,
        Move::ReceiveTwice,
        Move::Review,
        Move::ComesBack,
        Move::PlaceAgain,
        Move::PlaceOther,
        Move::Look,
        Move::Rest,
    ];
}

/// What makes sense, the more often the more it does.
pub(super) fn fitting(known: Option<&View>) -> Vec<Move> {
    let Some(known) = known else { return vec![Move::Look] };
    let state = known.standing.state;
    if state == O::AwaitingPayment {
        let (pays, others) = ([Move::Pay; 8], [Move::PayTwice, Move::Cancel, Move::PayAndCancel]);
        let again = [Move::Rest, Move::Rest, Move::Look, Move::PlaceAgain];
        return [&pays[..], &others[..], &again[..]].concat();
    }
    if state == O::Confirmed {
        let ships = [Move::ShipPart, Move::ShipPart, Move::ShipPart, Move::ShipRest, Move::ShipRest];
        return [&ships[..], &[Move::ShipAndCancel, Move::Cancel, Move::Rest]].concat();
    }
    if is_sold(state) && !is_over(state) {
        return after_sale(known);
    }
    let mut moves = match state {
        O::ManualReview | O::Cancelling => vec![Move::Review, Move::CancelTwice, Move::Look],
        O::Unspecified
        | O::AwaitingPayment
        | O::Confirmed
        | O::Fulfilling
        | O::Shipped
        | O::Delivered
        | O::Completed
        | O::Rejected
        | O::Expired
        | O::Cancelled => vec![Move::Look, Move::Rest, Move::Cancel],
    };
    moves.extend(gave_back(known).then_some(Move::ComesBack));
    moves
}

/// What there is to do about parcels and returns.
fn after_sale(known: &View) -> Vec<Move> {
    let in_state = |state| known.backs.values().any(|back| back.state == state);
    let arrived = known.shipped(|parcel| parcel.arrived);
    let chances: [(bool, &[Move]); 7] = [
        (true, &[Move::Look]),
        (!without(&known.units, &known.shipped(|_| true)).is_empty(), &[Move::ShipPart, Move::ShipRest]),
        (known.parcels.values().any(|parcel| !parcel.arrived), &[Move::Deliver; 4]),
        (
            !without(&arrived, &known.spoken_for()).is_empty(),
            &[Move::AskBack, Move::AskBack, Move::AskBackTwice],
        ),
        (in_state(ReturnState::Requested), &[Move::Approve, Move::Approve, Move::Approve, Move::Reject]),
        (in_state(ReturnState::Approved), &[Move::Receive, Move::Receive, Move::Receive, Move::ReceiveTwice]),
        (gave_back(known), &[Move::ComesBack]),
    ];
    let mut moves: Vec<Move> =
        chances.iter().filter(|(is, _)| *is).flat_map(|(_, moves)| moves.iter().copied()).collect();
    if in_state(ReturnState::Received) {
        moves.push(Move::Review);
    }
    moves
}

fn gave_back(known: &View) -> bool {
    known.refunded > 0 || known.standing.payment == P::Refunded
}
