//! What may be done next with an order: a move drawn by chance, mostly one that fits how the order was last seen, and the calls that it is
//! made of.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::{ReturnState, ReviewResolution};
use uuid::Uuid;

use crate::harness::history::record::Units;
use crate::harness::orders::market::CAMPAIGN;
use crate::harness::orders::model::card;
use crate::harness::orders::model::till::{Basket, PROMOTIONS};
use crate::harness::orders::model::{is_over, is_sold};
use crate::harness::orders::record::{Back, Call, Verdict, View, cell, without};

/// Of so many moves one does not fit the order.
const NONSENSE: u32 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
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
    Look,
    Rest,
}

impl Move {
    const ALL: [Move; 18] = [
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
        Move::Look,
        Move::Rest,
    ];
}

/// Whoever draws, and what is known of the order.
pub struct Hand<'a> {
    pub rng: &'a mut StdRng,
    pub known: Option<&'a View>,
}

impl Hand<'_> {
    pub fn basket(&mut self) -> Basket {
        let mut units = Units::new();
        let common = [("mug", ""), ("mug", ""), ("tee", "")];
        let scarce = [("tee", CAMPAIGN), ("cap", "")];
        for _ in 0..[1, 1, 2, 3].choose(self.rng).copied().unwrap_or(1) {
            let shelf = if self.rng.random_ratio(1, 8) { &scarce[..] } else { &common[..] };
            let (sku, campaign) = shelf.choose(self.rng).copied().unwrap_or(("mug", ""));
            *units.entry(cell(sku, campaign)).or_default() += self.rng.random_range(1..4);
        }
        let coupons = PROMOTIONS.iter().filter_map(|known| known.coupon);
        let coupons = coupons.filter(|_| self.rng.random_ratio(1, 4)).collect();
        Basket { units, coupons }
    }

    /// The calls of one move, at once; none is a rest.
    pub fn calls(&mut self) -> Vec<Call> {
        let fitting = self.fitting();
        let one = match self.rng.random_ratio(1, NONSENSE) {
            true => Move::ALL.choose(self.rng),
            false => fitting.choose(self.rng),
        };
        self.of_move(one.copied().unwrap_or(Move::Look))
    }

    /// What makes sense, the more often the more it does.
    fn fitting(&self) -> Vec<Move> {
        let Some(known) = self.known else { return vec![Move::Look] };
        let state = known.standing.state;
        if state == O::AwaitingPayment {
            let (pays, others) = ([Move::Pay; 8], [Move::PayTwice, Move::Cancel, Move::PayAndCancel]);
            return [&pays[..], &others[..], &[Move::Rest, Move::Rest, Move::Look]].concat();
        }
        if state == O::Confirmed {
            let ships = [Move::ShipPart, Move::ShipPart, Move::ShipPart, Move::ShipRest, Move::ShipRest];
            return [&ships[..], &[Move::ShipAndCancel, Move::Cancel, Move::Rest]].concat();
        }
        if is_sold(state) && !is_over(state) {
            return after_sale(known);
        }
        match state {
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
        }
    }

    /// What a move asks for, at once; nothing is a rest.
    fn of_move(&mut self, step: Move) -> Vec<Call> {
        let pay = |rng: &mut StdRng| Call::Pay { card: card::drawn(rng.random_range(0..card::weights())) };
        match step {
            Move::Pay => vec![pay(self.rng)],
            Move::PayTwice => vec![pay(self.rng), pay(self.rng)],
            Move::Cancel => vec![Call::Cancel],
            Move::CancelTwice => vec![Call::Cancel, Call::Cancel],
            Move::PayAndCancel => vec![pay(self.rng), Call::Cancel],
            Move::ShipPart => vec![self.ship_part()],
            Move::ShipRest => vec![Call::Ship { id: self.id(), units: Units::new() }],
            Move::ShipAndCancel => vec![Call::Cancel, self.ship_part()],
            Move::Deliver => vec![self.deliver()],
            Move::AskBack => vec![self.ask_back()],
            Move::AskBackTwice => vec![self.ask_back(), self.ask_back()],
            Move::Approve => vec![self.decide(ReturnState::Requested, Verdict::Approve)],
            Move::Reject => vec![self.decide(ReturnState::Requested, Verdict::Reject)],
            Move::Receive => vec![self.receive()],
            Move::ReceiveTwice => vec![self.receive(), self.receive()],
            Move::Review => {
                let ways = [
                    ReviewResolution::Retry,
                    ReviewResolution::StepDone,
                    ReviewResolution::Cancel,
                    ReviewResolution::Confirm,
                ];
                let resolution = ways.choose(self.rng).copied().unwrap_or(ReviewResolution::Retry);
                vec![Call::Resolve { id: self.id(), resolution }]
            }
            Move::Look => vec![Call::Look],
            Move::Rest => Vec::new(),
        }
    }

    /// Some of what is left; sometimes of what was bought, which may be too much.
    fn ship_part(&mut self) -> Call {
        let known = self.known;
        let bought = known.map(|known| known.units.clone()).unwrap_or_default();
        let left = known.map(|known| without(&known.units, &known.shipped(|_| true))).unwrap_or_default();
        let from = if left.is_empty() || self.rng.random_ratio(1, 10) { bought } else { left };
        Call::Ship { id: self.id(), units: self.some(&from) }
    }

    fn deliver(&mut self) -> Call {
        let parcels = self.known.iter().flat_map(|known| &known.parcels);
        let away: Vec<Uuid> = parcels.filter(|(_, parcel)| !parcel.arrived).map(|(id, _)| *id).collect();
        Call::Deliver { id: away.choose(self.rng).copied().unwrap_or_else(|| self.id()) }
    }

    fn ask_back(&mut self) -> Call {
        let there = self.known.map(|known| {
            (known.units.clone(), without(&known.shipped(|parcel| parcel.arrived), &known.spoken_for()))
        });
        let (bought, left) = there.unwrap_or_default();
        let from = if left.is_empty() { bought } else { left };
        Call::AskBack { id: self.id(), units: self.some(&from) }
    }

    fn decide(&mut self, state: ReturnState, verdict: Verdict) -> Call {
        Call::Decide { id: self.back(state), verdict }
    }

    /// Whether units are sold again is the same however often they are received.
    fn receive(&mut self) -> Call {
        let id = self.back(ReturnState::Approved);
        Call::Decide { id, verdict: Verdict::Receive { restock: !id.as_u128().is_multiple_of(3) } }
    }

    /// A return in this state, or any, or none that there is.
    fn back(&mut self, state: ReturnState) -> Uuid {
        let backs: Vec<&Back> = self.known.iter().flat_map(|known| known.backs.values()).collect();
        let fitting: Vec<&&Back> = backs.iter().filter(|back| back.state == state).collect();
        let one = fitting.choose(self.rng).map(|back| back.id);
        let any = backs.choose(self.rng).map(|back| back.id);
        one.or(any).unwrap_or_else(|| self.id())
    }

    /// One to all of one cell or of each.
    fn some(&mut self, from: &Units) -> Units {
        let all = self.rng.random_bool(0.3);
        let only = self.rng.random_range(0..from.len().max(1));
        let mut some = Units::new();
        for (at, (cell, units)) in from.iter().enumerate().filter(|(at, _)| all || *at == only) {
            let units = if all && at % 2 == 0 { *units } else { self.rng.random_range(1..=*units) };
            some.insert(cell.clone(), units);
        }
        some
    }

    pub fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }
}

/// What there is to do about parcels and returns.
fn after_sale(known: &View) -> Vec<Move> {
    let in_state = |state| known.backs.values().any(|back| back.state == state);
    let arrived = known.shipped(|parcel| parcel.arrived);
    let chances: [(bool, &[Move]); 6] = [
        (true, &[Move::Look]),
        (!without(&known.units, &known.shipped(|_| true)).is_empty(), &[Move::ShipPart, Move::ShipRest]),
        (known.parcels.values().any(|parcel| !parcel.arrived), &[Move::Deliver; 4]),
        (
            !without(&arrived, &known.spoken_for()).is_empty(),
            &[Move::AskBack, Move::AskBack, Move::AskBackTwice],
        ),
        (in_state(ReturnState::Requested), &[Move::Approve, Move::Approve, Move::Approve, Move::Reject]),
        (in_state(ReturnState::Approved), &[Move::Receive, Move::Receive, Move::Receive, Move::ReceiveTwice]),
    ];
    let mut moves: Vec<Move> =
        chances.iter().filter(|(is, _)| *is).flat_map(|(_, moves)| moves.iter().copied()).collect();
    if in_state(ReturnState::Received) {
        moves.push(Move::Review);
    }
    moves
}
