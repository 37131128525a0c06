//! What is recorded of a history: every call with its answer and the instants between which it happened. Nothing here knows a
//! rule.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

/// Microseconds of the machine's clock since 1970. Postgres of the same machine reads the same clock.
pub type Micros = i64;

/// One SKU in one pool; the shelf's campaign is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub campaign: String,
    pub sku: String,
}

/// So many units of each cell: lines, summed.
pub type Units = BTreeMap<Cell, i64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Pending,
    Committed,
    Released,
    Expired,
}

impl State {
    pub const ALL: [State; 4] = [State::Pending, State::Committed, State::Released, State::Expired];

    /// The word in the ledger and in metadata.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Committed => "COMMITTED",
            State::Released => "RELEASED",
            State::Expired => "EXPIRED",
        }
    }

    pub fn of_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Nothing is held any more, and nothing was sold.
    pub fn is_gone(self) -> bool {
        match self {
            State::Pending | State::Committed => false,
            State::Released | State::Expired => true,
        }
    }
}

/// Who wants what under an id: the content that a repeated request is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub buyer: String,
    pub units: Units,
    /// Milliseconds; none takes the units for good.
    pub hold_ms: Option<u32>,
}

impl Demand {
    /// How long a hold lasts is no part of what it is.
    pub fn is_same(&self, other: &Demand) -> bool {
        self.buyer == other.buyer
            && self.units == other.units
            && self.hold_ms.is_some() == other.hold_ms.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// ReserveStock, or DeductStock when nothing is held.
    Demand {
        id: Uuid,
        demand: Demand,
    },
    Commit {
        id: Uuid,
    },
    Release {
        id: Uuid,
    },
    Look {
        id: Uuid,
    },
    /// Hold it until then.
    Extend {
        id: Uuid,
        until: Micros,
    },
    Return {
        id: Uuid,
        return_id: Uuid,
        units: Units,
    },
    Adjust {
        id: Uuid,
        cell: Cell,
        delta: i64,
    },
}

/// A level as somebody was told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub cell: Cell,
    pub on_hand: i64,
    pub held: i64,
    pub committed: i64,
    pub free: i64,
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Reservation {
        state: State,
        buyer: String,
        units: Units,
        expires_at: Option<Micros>,
    },
    Receipt {
        remaining: i64,
        version: i64,
    },
    Levels(Vec<Level>),
    /// Refused for certain: nothing was done. `state` is who won, where the refusal tells.
    Refused {
        reason: String,
        state: Option<State>,
    },
    /// Nobody knows whether it was done.
    Unknown(String),
}

impl Answer {
    pub fn is_unknown(&self) -> bool {
        matches!(self, Answer::Unknown(_))
    }

    /// It was done, or it may have been.
    pub fn may_have_happened(&self) -> bool {
        !matches!(self, Answer::Refused { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation<C = Call, A = Answer> {
    /// Which process was asked, counted from 0.
    pub process: usize,
    pub call: C,
    /// The caller said that it had asked this before.
    pub again: bool,
    pub begun: Micros,
    /// When it was answered, or given up.
    pub ended: Micros,
    pub answer: A,
}

/// A message of the feed, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Counts the streams of one reader: a new one begins where the last broke.
    pub stream: usize,
    pub sequence: i64,
    pub levels: Vec<Level>,
}

/// On what terms a cell was sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub opened_with: i64,
    pub per_buyer_limit: Option<i64>,
    /// When it began to sell, and when it stopped.
    pub window: Option<(Micros, Micros)>,
}

/// Everything that was recorded.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub terms: BTreeMap<Cell, Terms>,
    /// In the order in which they began.
    pub calls: Vec<Invocation>,
    pub heard: Vec<Heard>,
}

/// Takes calls down as they are answered, from many hands.
#[derive(Debug)]
pub struct Recorder<C = Call, A = Answer> {
    wall: OffsetDateTime,
    began: Instant,
    calls: Mutex<Vec<Invocation<C, A>>>,
}

impl<C: Clone, A: Clone> Recorder<C, A> {
    pub fn start(now: OffsetDateTime) -> Self {
        Self { wall: now, began: Instant::now(), calls: Mutex::default() }
    }

    /// The machine's clock as it was at the start, carried on by one that never jumps.
    pub fn now(&self) -> Micros {
        micros(self.wall + self.began.elapsed())
    }

    pub fn take(&self, call: Invocation<C, A>) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// What was taken down, in the order in which it began.
    pub fn calls(&self) -> Vec<Invocation<C, A>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        calls.sort_by_key(|call| call.begun);
        calls
    }
}

pub fn micros(at: OffsetDateTime) -> Micros {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap()
}
