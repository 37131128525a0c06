//! What one buyer and staff do about one order: random calls, as the order stands and sometimes as it does not, some at the same
//! time. What nobody answered is asked again until it is known. Each call is taken down; nothing is checked here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use stampede_kit::clock::Clock;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::{ReturnState, ReviewResolution};
use tokio::time::Instant;
use uuid::Uuid;

use super::market::CAMPAIGN;
use super::model::card;
use super::model::till::{Basket, PROMOTIONS};
use super::model::{is_over, is_sold};
use super::record::{Answer, Back, Call, Invocation, Life, Recorder, Verdict, View, cell, without};
use super::talk::Counter;
use crate::harness::history::record::Units;
use crate::harness::stage::{Bearer, Stage};

const BUYERS: u64 = 24;
/// After it was placed; with none of them nobody ever pays.
const MOVES: std::ops::Range<u32> = 0..18;
/// Tries to place an order.
const BASKETS: u32 = 6;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(60);
/// Longer than anything stays down.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sometimes past the time to pay.
const REST_MS: std::ops::Range<u64> = 20..1_500;
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

/// What all histories share.
pub struct Board {
    pub counter: Counter,
    buyers: Vec<(String, Bearer)>,
    answered: AtomicU64,
}

impl Board {
    pub fn of(stage: &Stage) -> Self {
        let buyer = |number: u64| {
            let name = format!("buyer-{number}");
            let bearer = stage.bearer(&name, xtask::token::Role::Buyer);
            (name, bearer)
        };
        Self {
            counter: Counter::of(stage),
            buyers: (0..BUYERS).map(buyer).collect(),
            answered: AtomicU64::new(0),
        }
    }

    /// Calls whose answer is known, so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Staff decide about an order outside its history.
    pub async fn resolve(&self, order: Option<Uuid>, call: Call) -> Answer {
        self.counter.call(0, &self.buyers[0].1, order, &call, false).await
    }
}

/// One history on its way.
pub struct Client {
    board: Arc<Board>,
    recorder: Recorder,
    rng: StdRng,
    number: u64,
    buyer: usize,
    order: Option<Uuid>,
    known: Option<View>,
}

impl Client {
    pub fn new(board: Arc<Board>, seed: u64, number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ (number + 1) << 32);
        let buyer = rng.random_range(0..board.buyers.len());
        let recorder = Recorder::start(Clock::system().now());
        Self { board, recorder, rng, number, buyer, order: None, known: None }
    }

    /// The history of an order from its first call to its last.
    pub async fn run(mut self) -> Self {
        self.place().await;
        if self.order.is_some() {
            for _ in 0..self.rng.random_range(MOVES) {
                self.step().await;
            }
        }
        self
    }

    pub fn life(&self) -> Life {
        Life {
            number: self.number,
            buyer: self.board.buyers[self.buyer].0.clone(),
            calls: self.recorder.calls(),
        }
    }

    pub fn order(&self) -> Option<Uuid> {
        self.order
    }

    /// Baskets until one is accepted; without coupons once one of them was refused, another one when there is too little.
    async fn place(&mut self) {
        let mut basket = self.basket();
        for _ in 0..BASKETS {
            let key = self.id();
            match self.until_known(Call::Place { key, basket: basket.clone() }).await {
                Answer::Refused { reason, .. } if reason == "ORDER_EXPIRED" => {}
                Answer::Refused { .. } if !basket.coupons.is_empty() => basket.coupons.clear(),
                Answer::Refused { .. } => basket = self.basket(),
                Answer::Order(_) | Answer::Back(_) | Answer::Unknown(_) => return,
            }
        }
    }

    fn basket(&mut self) -> Basket {
        let mut units = Units::new();
        let common = [("mug", ""), ("mug", ""), ("tee", "")];
        let scarce = [("tee", CAMPAIGN), ("cap", "")];
        for _ in 0..[1, 1, 2, 3].choose(&mut self.rng).copied().unwrap_or(1) {
            let shelf = if self.rng.random_ratio(1, 8) { &scarce[..] } else { &common[..] };
            let (sku, campaign) = shelf.choose(&mut self.rng).copied().unwrap_or(("mug", ""));
            *units.entry(cell(sku, campaign)).or_default() += self.rng.random_range(1..4);
        }
        let coupons = PROMOTIONS.iter().filter_map(|known| known.coupon);
        let coupons = coupons.filter(|_| self.rng.random_ratio(1, 4)).collect();
        Basket { units, coupons }
    }

    async fn step(&mut self) {
        let fitting = self.fitting();
        let one = match self.rng.random_ratio(1, NONSENSE) {
            true => Move::ALL.choose(&mut self.rng),
            false => fitting.choose(&mut self.rng),
        };
        let step = one.copied().unwrap_or(Move::Look);
        match self.calls(step) {
            calls if calls.is_empty() => {
                let pause = Duration::from_millis(self.rng.random_range(REST_MS));
                tokio::time::sleep(pause).await;
            }
            calls => {
                let from = self.rng.random_range(0..self.board.counter.processes());
                // Those of one move go to different processes, at once.
                let asked =
                    calls.into_iter().enumerate().map(|(at, call)| self.ask_until_known(from + at, call));
                let answers = futures::future::join_all(asked).await;
                answers.iter().for_each(|answer| self.learn(answer));
            }
        }
    }

    /// What makes sense, the more often the more it does.
    fn fitting(&self) -> Vec<Move> {
        let Some(known) = &self.known else { return vec![Move::Look] };
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
            let back = [Move::AskBack, Move::Approve, Move::Approve, Move::Receive, Move::Receive];
            let odd = [Move::AskBackTwice, Move::ReceiveTwice, Move::Reject, Move::Review];
            let on =
                [Move::ShipRest, Move::Deliver, Move::Deliver, Move::AskBack, Move::Approve, Move::Receive];
            return [&back[..], &odd[..], &on[..]].concat();
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
    fn calls(&mut self, step: Move) -> Vec<Call> {
        let pay = |rng: &mut StdRng| Call::Pay { card: card::drawn(rng.random_range(0..card::weights())) };
        match step {
            Move::Pay => vec![pay(&mut self.rng)],
            Move::PayTwice => vec![pay(&mut self.rng), pay(&mut self.rng)],
            Move::Cancel => vec![Call::Cancel],
            Move::CancelTwice => vec![Call::Cancel, Call::Cancel],
            Move::PayAndCancel => vec![pay(&mut self.rng), Call::Cancel],
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
                let resolution = ways.choose(&mut self.rng).copied().unwrap_or(ReviewResolution::Retry);
                vec![Call::Resolve { id: self.id(), resolution }]
            }
            Move::Look => vec![Call::Look],
            Move::Rest => Vec::new(),
        }
    }

    /// Some of what is left; sometimes of what was bought, which may be too much.
    fn ship_part(&mut self) -> Call {
        let known = self.known.as_ref();
        let bought = known.map(|known| known.units.clone()).unwrap_or_default();
        let left = known.map(|known| without(&known.units, &known.shipped(|_| true))).unwrap_or_default();
        let from = if left.is_empty() || self.rng.random_ratio(1, 10) { bought } else { left };
        Call::Ship { id: self.id(), units: self.some(&from) }
    }

    fn deliver(&mut self) -> Call {
        let parcels = self.known.iter().flat_map(|known| &known.parcels);
        let away: Vec<Uuid> = parcels.filter(|(_, parcel)| !parcel.arrived).map(|(id, _)| *id).collect();
        Call::Deliver { id: away.choose(&mut self.rng).copied().unwrap_or_else(|| self.id()) }
    }

    fn ask_back(&mut self) -> Call {
        let there = self.known.as_ref().map(|known| {
            (known.units.clone(), without(&known.shipped(|parcel| parcel.arrived), &known.spoken_for()))
        });
        let (bought, left) = there.unwrap_or_default();
        let from = if left.is_empty() { bought } else { left };
        Call::AskBack { id: self.id(), units: self.some(&from) }
    }

    /// About a return in this state, or about any, or about none that there is.
    fn decide(&mut self, state: ReturnState, verdict: Verdict) -> Call {
        let backs: Vec<&Back> = self.known.iter().flat_map(|known| known.backs.values()).collect();
        let fitting: Vec<&&Back> = backs.iter().filter(|back| back.state == state).collect();
        let one = fitting.choose(&mut self.rng).map(|back| back.id);
        let any = backs.choose(&mut self.rng).map(|back| back.id);
        Call::Decide { id: one.or(any).unwrap_or_else(|| self.id()), verdict }
    }

    /// Whether units are sold again is the same however often they are received.
    fn receive(&mut self) -> Call {
        match self.decide(ReturnState::Approved, Verdict::Approve) {
            Call::Decide { id, .. } => {
                Call::Decide { id, verdict: Verdict::Receive { restock: id.as_u128() % 3 > 0 } }
            }
            other => other,
        }
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

    fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }

    /// Asks, and remembers what the order is by the answer.
    pub async fn until_known(&mut self, call: Call) -> Answer {
        let from = self.rng.random_range(0..self.board.counter.processes());
        let answer = self.ask_until_known(from, call).await;
        self.learn(&answer);
        answer
    }

    fn learn(&mut self, answer: &Answer) {
        if let Some(view) = answer.view() {
            self.order = Some(view.id);
            if self.known.as_ref().is_none_or(|known| known.version <= view.version) {
                self.known = Some(view.clone());
            }
        }
        if let (Answer::Back(back), Some(known)) = (answer, &mut self.known) {
            known.backs.insert(back.id, back.clone());
        }
    }

    async fn ask_until_known(&self, from: usize, call: Call) -> Answer {
        let until = Instant::now() + PATIENCE;
        let bearer = &self.board.buyers[self.buyer].1;
        for attempt in 0.. {
            let process = (from + attempt) % self.board.counter.processes();
            let (begun, again) = (self.recorder.now(), attempt > 0);
            let answer = self.board.counter.call(process, bearer, self.order, &call, again).await;
            let ended = self.recorder.now();
            let taken =
                Invocation { process, call: call.clone(), again, begun, ended, answer: answer.clone() };
            self.recorder.take(taken);
            if !answer.is_unknown() {
                self.board.answered.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            let life = self.life();
            assert!(Instant::now() < until, "nobody knows what became of {call:?}: {answer:?}\n{life}");
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        unreachable!("it asks until it is answered")
    }
}
