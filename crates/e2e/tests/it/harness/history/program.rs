//! What one client does: random calls, about its own and other clients' reservations, at random processes. What nobody answered is
//! asked again until the answer is known. Each call is taken down; nothing is checked here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::record::{Answer, Call, Cell, Demand, Invocation, Recorder, State, Units};
use super::talk::Processes;

const BUYERS: u32 = 10;
/// Longer than most freezes last.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// Some callers do not wait for their answer.
const IMPATIENT_MS: std::ops::Range<u64> = 2..30;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(40);
/// Longer than anything stays down.
const PATIENCE: Duration = Duration::from_secs(60);
/// Holds that expire while the history runs, and some that do not.
const SHORT_HOLD_MS: std::ops::Range<u32> = 150..1_500;
const LONG_HOLD_MS: u32 = 600_000;
/// Of those asked for lately most calls are about one.
const LATELY: usize = 48;

#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve,
    Deduct,
    Commit,
    Release,
    /// Commit and release, at once.
    Race,
    /// The same again.
    Repeat,
    /// The same id for something else.
    Reuse,
    Return,
    Adjust,
    Look,
    Extend,
}

/// How often each is done, of a hundred.
const STEPS: [(u32, Step); 11] = [
    (22, Step::Reserve),
    (15, Step::Deduct),
    (13, Step::Commit),
    (9, Step::Release),
    (6, Step::Race),
    (11, Step::Repeat),
    (4, Step::Reuse),
    (6, Step::Return),
    (5, Step::Adjust),
    (5, Step::Look),
    (4, Step::Extend),
];

/// What all clients share: whom they ask, what was asked for, and the record.
pub struct Board {
    pub processes: Processes,
    pub recorder: Recorder,
    /// Cells by how hot they are: the first are asked for most.
    pub cells: Vec<Cell>,
    asked: Mutex<Vec<(Uuid, Demand)>>,
}

impl Board {
    pub fn new(processes: Processes, recorder: Recorder, cells: Vec<Cell>) -> Self {
        Self { processes, recorder, cells, asked: Mutex::default() }
    }

    /// Asks once and takes it down.
    async fn ask(&self, process: usize, call: Call, again: bool, within: Duration) -> Answer {
        let begun = self.recorder.now();
        let answer = self.processes.call(process, &call, again, within).await;
        let ended = self.recorder.now();
        self.recorder.take(Invocation { process, call, again, begun, ended, answer: answer.clone() });
        answer
    }
}

pub struct Client {
    board: Arc<Board>,
    rng: StdRng,
}

impl Client {
    pub fn new(board: Arc<Board>, seed: u64) -> Self {
        Self { board, rng: StdRng::seed_from_u64(seed) }
    }

    /// Goes on until then, and until its last answer is known.
    pub async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            self.step().await;
            if self.rng.random_ratio(1, 4) {
                tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..40))).await;
            }
        }
    }

    async fn step(&mut self) {
        let mut drawn = self.rng.random_range(0..100);
        let step = STEPS.iter().find(|(weight, _)| {
            let is_it = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            is_it
        });
        match step.map_or(Step::Look, |(_, step)| *step) {
            Step::Reserve => self.reserve().await,
            Step::Deduct => self.deduct().await,
            Step::Commit => self.about_one(|id| vec![Call::Commit { id }]).await,
            Step::Release => self.about_one(|id| vec![Call::Release { id }]).await,
            Step::Race => self.about_one(|id| vec![Call::Commit { id }, Call::Release { id }]).await,
            Step::Look => self.about_one(|id| vec![Call::Look { id }]).await,
            Step::Extend => {
                let until = self.board.recorder.now() + self.rng.random_range(-500_000..2_000_000);
                self.about_one(|id| vec![Call::Extend { id, until }]).await;
            }
            Step::Repeat => self.repeat().await,
            Step::Reuse => self.reuse().await,
            Step::Return => self.give_back().await,
            Step::Adjust => self.adjust().await,
        }
    }

    async fn reserve(&mut self) {
        let mut units = Units::new();
        for _ in 0..[1, 1, 1, 2, 3].choose(&mut self.rng).copied().unwrap_or(1) {
            *units.entry(self.cell()).or_default() += self.quantity();
        }
        let hold_ms =
            if self.rng.random_ratio(2, 3) { self.rng.random_range(SHORT_HOLD_MS) } else { LONG_HOLD_MS };
        let demand = Demand { buyer: self.buyer(), units, hold_ms: Some(hold_ms) };
        let id = self.id();
        let answer = self.demand(id, demand).await;
        // Many are paid for or given up at once, wherever the next call lands.
        if matches!(answer, Answer::Reservation { state: State::Pending, .. }) {
            match self.rng.random_range(0..4) {
                0 => drop(self.until_known(Call::Commit { id }).await),
                1 => drop(self.until_known(Call::Release { id }).await),
                _ => {}
            }
        }
    }

    async fn deduct(&mut self) {
        let units = Units::from([(self.cell(), self.quantity())]);
        let demand = Demand { buyer: self.buyer(), units, hold_ms: None };
        let id = self.id();
        self.demand(id, demand).await;
    }

    /// Known to the others before it is asked for: their calls may overtake it.
    async fn demand(&mut self, id: Uuid, demand: Demand) -> Answer {
        self.board.asked.lock().unwrap_or_else(PoisonError::into_inner).push((id, demand.clone()));
        self.until_known(Call::Demand { id, demand }).await
    }

    async fn about_one(&mut self, calls: impl FnOnce(Uuid) -> Vec<Call>) {
        let Some((id, _)) = self.one() else { return };
        let mut at_once = Vec::new();
        for call in calls(id) {
            let mut other = Client::new(self.board.clone(), self.rng.random());
            at_once.push(async move { other.until_known(call).await });
        }
        futures::future::join_all(at_once).await;
    }

    async fn repeat(&mut self) {
        let Some((id, demand)) = self.one() else { return };
        self.until_known_again(Call::Demand { id, demand }).await;
    }

    async fn reuse(&mut self) {
        let Some((id, mut demand)) = self.one() else { return };
        demand.units.values_mut().for_each(|units| *units += 1);
        self.until_known_again(Call::Demand { id, demand }).await;
    }

    /// Some of it, or all of it; often the same return again elsewhere.
    async fn give_back(&mut self) {
        let Some((id, demand)) = self.one() else { return };
        let first = demand.units.first_key_value().map(|(cell, _)| (cell.clone(), 1));
        let units = if self.rng.random_bool(0.5) { first.into_iter().collect() } else { Units::new() };
        let call = Call::Return { id, return_id: self.id(), units };
        for _ in 0..self.rng.random_range(1..3) {
            self.until_known(call.clone()).await;
        }
    }

    async fn adjust(&mut self) {
        let delta = if self.rng.random_ratio(3, 4) {
            self.rng.random_range(1..5)
        } else {
            -self.rng.random_range(1..4)
        };
        let call = Call::Adjust { id: self.id(), cell: self.cell(), delta };
        for _ in 0..self.rng.random_range(1..3) {
            self.until_known(call.clone()).await;
        }
    }

    /// Asks anybody until somebody knows.
    pub async fn until_known(&mut self, call: Call) -> Answer {
        self.until_known_as(call, false).await
    }

    /// The same for what was asked before.
    pub async fn until_known_again(&mut self, call: Call) -> Answer {
        self.until_known_as(call, true).await
    }

    async fn until_known_as(&mut self, call: Call, mut again: bool) -> Answer {
        let until = Instant::now() + PATIENCE;
        loop {
            let process = self.rng.random_range(0..self.board.processes.count());
            let within = match self.rng.random_ratio(1, 25) {
                true => Duration::from_millis(self.rng.random_range(IMPATIENT_MS)),
                false => ANSWER_WITHIN,
            };
            let answer = self.board.ask(process, call.clone(), again, within).await;
            again = true;
            if !answer.is_unknown() {
                return answer;
            }
            assert!(Instant::now() < until, "nobody knows what became of {call:?}: {answer:?}");
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    fn one(&mut self) -> Option<(Uuid, Demand)> {
        let asked = self.board.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = asked.len().saturating_sub(LATELY);
        let from = if self.rng.random_ratio(3, 4) { lately } else { 0 };
        asked[from..].choose(&mut self.rng).cloned()
    }

    fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }

    fn buyer(&mut self) -> String {
        format!("buyer-{}", self.rng.random_range(0..BUYERS))
    }

    fn quantity(&mut self) -> i64 {
        [1, 1, 1, 2, 3].choose(&mut self.rng).copied().unwrap_or(1)
    }

    /// Half of all go to the first.
    fn cell(&mut self) -> Cell {
        let hot = self.rng.random_bool(0.4);
        let at = if hot { 0 } else { self.rng.random_range(0..self.board.cells.len()) };
        self.board.cells[at].clone()
    }
}
