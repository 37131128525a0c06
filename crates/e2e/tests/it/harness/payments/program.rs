//! One history: somebody pays, and whoever is at the till captures, lets go, gives back, all at once or one after another, at two processes;
//! meanwhile the provider's desk does what nobody asked for. Who gets no answer asks again with the same ids, at either process.

mod ask;
mod desk;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

pub use ask::{Asked, key};

use super::card::{Script, Step};
use super::till::Till;
use crate::harness::history::record::Micros;

/// Of every payment.
pub const AMOUNT: i64 = 100;
/// How long the payer takes.
const PAYER_MS: std::ops::Range<u64> = 0..1_500;

/// How often he comes back to find something to do.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_millis(100);

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    CaptureAll,
    CapturePart,
    Void,
    RefundAll,
    RefundPart,
    /// A capture, a void and two refunds at both processes at once.
    Race,
    /// The last thing that was asked for is asked for again.
    Again,
    RefundByHand,
    Dispute,
    DisputeWon,
    DisputeLost,
    HoldLapses,
    RefundComesBack,
}

/// Whoever pays and whoever takes it, with what they have seen.
pub struct Client {
    till: Arc<Till>,
    rng: StdRng,
    pub number: u64,
    pub payment: Uuid,
    pub script: Script,
    pub automatic: bool,
    pub asked: Vec<Asked>,
    pub done: Vec<Move>,
    /// What nobody asked for, by the names of the messages about it.
    pub happened: Vec<String>,
    /// What was asked and answered, for a failure.
    pub told: Vec<String>,
    /// Answers that say INTERNAL: when they were asked for and given.
    pub internal: Vec<(Micros, Micros)>,
}

impl Move {
    pub const ALL: [Self; 13] = [
        Self::CaptureAll,
        Self::CapturePart,
        Self::Void,
        Self::RefundAll,
        Self::RefundPart,
        Self::Race,
        Self::Again,
        Self::RefundByHand,
        Self::Dispute,
        Self::DisputeWon,
        Self::DisputeLost,
        Self::HoldLapses,
        Self::RefundComesBack,
    ];
}

impl Move {
    /// Without which it moves nothing.
    fn needs(self) -> Vec<Self> {
        match self {
            Self::CaptureAll
            | Self::CapturePart
            | Self::Void
            | Self::Race
            | Self::Again
            | Self::HoldLapses => Vec::new(),
            Self::RefundAll
            | Self::RefundPart
            | Self::RefundByHand
            | Self::Dispute
            | Self::DisputeWon
            | Self::DisputeLost => vec![Self::CaptureAll],
            Self::RefundComesBack => vec![Self::CaptureAll, Self::RefundPart],
        }
    }
}

impl Client {
    pub fn new(till: Arc<Till>, seed: u64, number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let payment = Uuid::from_u128(rng.random());
        let automatic = rng.random_ratio(1, 5);
        Self {
            till,
            rng,
            number,
            payment,
            script: Script::new(seed, number),
            automatic,
            asked: Vec::new(),
            done: Vec::new(),
            happened: Vec::new(),
            told: Vec::new(),
            internal: Vec::new(),
        }
    }

    pub async fn run(mut self) -> Self {
        self.authorize().await;
        for step in self.moves() {
            self.take(step).await;
        }
        self
    }

    /// Every number has one move that another has not, and most the one that the script is about, and what these need before them; the rest
    /// is as it comes.
    fn moves(&mut self) -> Vec<Move> {
        let own = Move::ALL[usize::try_from(self.number).unwrap() % Move::ALL.len()];
        let any = |rng: &mut StdRng| *Move::ALL.choose(rng).unwrap();
        let about = match self.script.about {
            Step::Authorize | Step::Capture => Move::CaptureAll,
            Step::Void => Move::Void,
            Step::Refund => Move::RefundPart,
        };
        let mut moves: Vec<Move> = (0..self.rng.random_range(0..2)).map(|_| any(&mut self.rng)).collect();
        for step in if self.rng.random_bool(0.5) { vec![about, own] } else { vec![own] } {
            moves.extend(step.needs());
            moves.push(step);
        }
        moves.extend((0..self.rng.random_range(0..3)).map(|_| any(&mut self.rng)));
        moves
    }

    async fn take(&mut self, step: Move) {
        let done = match step {
            Move::CaptureAll => self.ask(Step::Capture, None).await,
            Move::CapturePart => {
                let amount = Some(self.rng.random_range(1..=60));
                self.ask(Step::Capture, amount).await
            }
            Move::Void => self.ask(Step::Void, None).await,
            Move::RefundAll => self.ask(Step::Refund, None).await,
            Move::RefundPart => {
                let amount = Some(self.rng.random_range(1..=60));
                self.ask(Step::Refund, amount).await
            }
            Move::Race => self.race().await,
            Move::Again => self.again().await,
            Move::RefundByHand => self.by_hand().await,
            Move::Dispute => self.dispute(None).await,
            Move::DisputeWon => self.dispute(Some("dispute_won")).await,
            Move::DisputeLost => self.dispute(Some("dispute_lost")).await,
            Move::HoldLapses => self.lapse().await,
            Move::RefundComesBack => self.comes_back().await,
        };
        if done {
            self.done.push(step);
        }
    }

    async fn authorize(&mut self) {
        self.ask(Step::Authorize, Some(AMOUNT)).await;
        let Some(may_be_left) = self.script.asks_the_payer() else { return };
        let ways: &[&str] =
            if may_be_left { &["completed", "completed", "failed", ""] } else { &["completed"] };
        let way = *ways.choose(&mut self.rng).unwrap();
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(PAYER_MS))).await;
        let mut done = way.is_empty();
        // The provider may hear of the payment late.
        for _ in 0..TRIES {
            if done {
                break;
            }
            done = self.till.act(key(self.payment, Step::Authorize, "1"), way).await;
            tokio::time::sleep(PAUSE).await;
        }
        self.told.push(format!("the payer: {way}, {done}"));
    }
}
