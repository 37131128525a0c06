//! What may be done next with an order: a move drawn by chance, mostly one that fits how the order was last seen, and the calls that it is
//! made of.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use stampede_proto::order::v1::{ReturnState, ReviewResolution};
use uuid::Uuid;

use super::moves::{self, Move};
use crate::harness::history::record::Units;
use crate::harness::orders::market::CAMPAIGN;
use crate::harness::orders::model::card;
use crate::harness::orders::model::till::{Basket, PROMOTIONS};
use crate::harness::orders::record::{Back, Call, Verdict, View, cell, without};

/// Of so many moves one does not fit the order.
const NONSENSE: u32 = 9;

/// Whoever draws, and what is known of the order.
pub struct Hand<'a> {
    pub rng: &'a mut StdRng,
    pub known: Option<&'a View>,
    /// The key it was placed with, and what for.
    pub placed: Option<&'a (Uuid, Basket)>,
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

    /// What to do next.
    pub fn next(&mut self) -> Move {
        let fitting = moves::fitting(self.known);
        let one = match self.rng.random_ratio(1, NONSENSE) {
            true => Move::ALL.choose(self.rng),
            false => fitting.choose(self.rng),
        };
        one.copied().unwrap_or(Move::Look)
    }

    /// What a move asks for, at once; nothing is a rest.
    pub fn calls(&mut self, step: Move) -> Vec<Call> {
        let place = |key, basket| Call::Place { key, basket };
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
                vec![Call::Resolve { id: self.id(), payment: None, resolution }]
            }
            Move::ComesBack => vec![Call::ComesBack],
            Move::PlaceAgain => self.placed.iter().map(|(key, basket)| place(*key, basket.clone())).collect(),
            Move::PlaceOther => {
                let basket = self.basket();
                self.placed.iter().map(|(key, _)| place(*key, basket.clone())).collect()
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
