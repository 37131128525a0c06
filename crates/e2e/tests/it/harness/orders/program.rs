//! What one buyer and staff do about one order: random calls, as the order stands and sometimes as it does not, some at the same
//! time. What nobody answered is asked again until it is known. Each call is taken down; nothing is checked here.

mod hand;
pub mod moves;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hand::Hand;
use moves::Move;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use stampede_kit::clock::Clock;
use tokio::time::Instant;
use uuid::Uuid;

use super::model::till::Basket;
use super::record::{Answer, Call, Invocation, Life, Recorder, View};
use super::talk::Counter;
use crate::harness::stage::{Bearer, Stage};

const BUYERS: u64 = 24;
/// After it was placed; with none of them nobody ever pays.
const MOVES: std::ops::Range<u32> = 0..22;
/// Tries to place an order.
const BASKETS: u32 = 6;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(60);
/// After so long somebody who does not need the answer goes on without it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than anything stays down: for those who cannot go on without it.
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// Sometimes past the time to pay.
const REST_MS: std::ops::Range<u64> = 20..1_500;

/// What all histories share.
pub struct Board {
    pub counter: Counter,
    buyers: Vec<(String, Bearer)>,
    answered: AtomicU64,
}

impl Board {
    pub async fn of(stage: &Stage) -> Self {
        let buyer = |number: u64| {
            let name = format!("buyer-{number}");
            let bearer = stage.bearer(&name, xtask::token::Role::Buyer);
            (name, bearer)
        };
        Self {
            counter: Counter::of(stage).await,
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
    /// With which key, and for what.
    placed: Option<(Uuid, Basket)>,
    /// What was done and answered for certain.
    done: BTreeSet<Move>,
}

impl Client {
    pub fn new(board: Arc<Board>, seed: u64, number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ (number + 1) << 32);
        let buyer = rng.random_range(0..board.buyers.len());
        let recorder = Recorder::start(Clock::system().now());
        let (placed, done) = (None, BTreeSet::new());
        Self { board, recorder, rng, number, buyer, order: None, known: None, placed, done }
    }

    /// The history of an order from its first call to its last.
    pub async fn run(mut self) -> Self {
        self.place().await;
        if self.order.is_some() {
            for _ in 0..self.rng.random_range(MOVES) {
                let step = self.hand().next();
                self.step(step).await;
            }
            // One in turn, whether it makes sense or not, so that everything is done by somebody.
            self.step(Move::ALL[self.number as usize % Move::ALL.len()]).await;
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

    pub fn done(&self) -> &BTreeSet<Move> {
        &self.done
    }

    pub fn order(&self) -> Option<Uuid> {
        self.order
    }

    /// Baskets until one is accepted; without coupons once one of them was refused, another one when there is too little. What was
    /// refused has written nothing: its key is as good as a new one.
    async fn place(&mut self) {
        let (mut key, mut basket) = (self.hand().id(), self.hand().basket());
        for _ in 0..BASKETS {
            match self.until_known(Call::Place { key, basket: basket.clone() }).await {
                Answer::Refused { .. } if !basket.coupons.is_empty() => basket.coupons.clear(),
                Answer::Refused { .. } => basket = self.hand().basket(),
                Answer::Order(_) | Answer::Back(_) | Answer::CameBack { .. } | Answer::Unknown(_) => return,
            }
            if self.rng.random_bool(0.5) {
                key = self.hand().id();
            }
        }
    }

    async fn step(&mut self, step: Move) {
        let calls = self.hand().calls(step);
        if calls.is_empty() {
            let pause = Duration::from_millis(self.rng.random_range(REST_MS));
            tokio::time::sleep(pause).await;
        }
        let from = self.rng.random_range(0..self.board.counter.processes());
        // Those of one move go to different processes, at once.
        let asked = calls.into_iter().enumerate().map(|(at, call)| self.ask_until_known(from + at, call));
        let answers = futures::future::join_all(asked).await;
        if !answers.iter().all(Answer::is_unknown) || step == Move::Rest {
            self.done.insert(step);
        }
        answers.iter().for_each(|answer| self.learn(answer));
    }

    fn hand(&mut self) -> Hand<'_> {
        Hand { rng: &mut self.rng, known: self.known.as_ref(), placed: self.placed.as_ref() }
    }

    /// Asks, and remembers what the order is by the answer.
    pub async fn until_known(&mut self, call: Call) -> Answer {
        let from = self.rng.random_range(0..self.board.counter.processes());
        let answer = self.ask_until_known(from, call.clone()).await;
        if let (Call::Place { key, basket }, Answer::Order(_)) = (call, &answer) {
            self.placed = Some((key, basket));
        }
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
        let began = Instant::now();
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
            let needed = matches!(call, Call::Place { .. } | Call::Look);
            if !needed && began.elapsed() > PATIENCE {
                return answer;
            }
            assert!(
                began.elapsed() < LONG_PATIENCE,
                "nobody knows what became of {call:?}: {answer:?}\n{}",
                self.life()
            );
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        unreachable!("it asks until it is answered")
    }
}
