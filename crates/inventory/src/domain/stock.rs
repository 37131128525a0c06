//! One SKU in one pool: its level, the terms it is sold on, the movements that change it.

use stampede_types::{Pool, ReservationId, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::reservation::ReservationState;

/// One SKU in one pool: what is locked, counted and admitted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CellKey {
    pub pool: Pool,
    pub sku: SkuId,
}

/// `on_hand = free + held + committed`, always. Free is below zero by what is promised beyond what is on hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Level {
    pub on_hand: i64,
    pub held: i64,
    pub committed: i64,
    /// Units that may be promised beyond what is on hand.
    pub backorder: i64,
    /// The last movement that touched it.
    pub version: i64,
}

impl Level {
    #[must_use]
    pub const fn free(self) -> i64 {
        self.on_hand - self.held - self.committed
    }

    /// Units that may still be promised.
    #[must_use]
    pub const fn available(self) -> i64 {
        self.free() + self.backorder
    }

    /// Units promised beyond what is on hand.
    #[must_use]
    pub const fn promised_beyond(self) -> i64 {
        if self.free() < 0 { -self.free() } else { 0 }
    }

    /// Nothing below zero, and nothing promised that may not be.
    #[must_use]
    pub const fn is_sound(self) -> bool {
        self.on_hand >= 0 && self.held >= 0 && self.committed >= 0 && self.available() >= 0
    }
}

/// From `opens_at` (inclusive) to `closes_at` (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub opens_at: OffsetDateTime,
    pub closes_at: OffsetDateTime,
}

/// On what terms a cell is sold. The shelf has neither a limit nor a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    pub per_buyer_limit: Option<i64>,
    pub window: Option<Window>,
}

/// A locked cell as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub level: Level,
    pub terms: Terms,
}

/// So many units of one cell. In a demand, lines of one cell are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub cell: CellKey,
    pub quantity: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovementKind {
    Open,
    Hold,
    Commit,
    Release,
    Expire,
    Return,
    Adjust,
    Deduct,
}

impl MovementKind {
    /// The word in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Hold => "HOLD",
            Self::Commit => "COMMIT",
            Self::Release => "RELEASE",
            Self::Expire => "EXPIRE",
            Self::Return => "RETURN",
            Self::Adjust => "ADJUST",
            Self::Deduct => "DEDUCT",
        }
    }

    /// What `quantity` units of this kind do to on hand, held and committed.
    #[must_use]
    pub const fn deltas(self, quantity: i64) -> (i64, i64, i64) {
        match self {
            Self::Open | Self::Adjust => (quantity, 0, 0),
            Self::Hold => (0, quantity, 0),
            Self::Commit => (0, -quantity, quantity),
            Self::Release | Self::Expire => (0, -quantity, 0),
            Self::Return => (0, 0, -quantity),
            Self::Deduct => (0, 0, quantity),
        }
    }
}

/// What one transaction did of one kind to one cell: an append-only row. The sums of the deltas are the levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub sequence: i64,
    pub cell: CellKey,
    pub kind: MovementKind,
    pub quantity: i64,
    /// How many reservations, returns or adjustments it sums.
    pub members: i32,
    /// Which, when it is one. Reservations say themselves which movements made and ended them.
    pub reference: Option<Uuid>,
}

/// Why the ledger said no, with the facts. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    OutOfStock {
        cell: CellKey,
        free: i64,
    },
    BuyerLimit {
        cell: CellKey,
        limit: Option<i64>,
    },
    NotOpen {
        cell: CellKey,
    },
    Closed {
        cell: CellKey,
    },
    PoolNotFound {
        cell: CellKey,
    },
    /// The id was used with other lines, another buyer or another kind.
    Conflict {
        id: ReservationId,
    },
    Resolved {
        id: ReservationId,
        state: ReservationState,
    },
    NotFound {
        id: ReservationId,
    },
    /// More of a cell was named than the reservation has of it.
    NotThatMuch {
        cell: CellKey,
        most: i64,
    },
    /// An expiry above the caps of an extension.
    TooLate {
        latest: OffsetDateTime,
    },
}

impl Denied {
    /// The gate's level is wrong when it admitted what was refused for this.
    #[must_use]
    pub const fn is_about_stock(&self) -> bool {
        match self {
            Self::OutOfStock { .. } => true,
            Self::BuyerLimit { .. }
            | Self::NotOpen { .. }
            | Self::Closed { .. }
            | Self::PoolNotFound { .. }
            | Self::Conflict { .. }
            | Self::Resolved { .. }
            | Self::NotFound { .. }
            | Self::NotThatMuch { .. }
            | Self::TooLate { .. } => false,
        }
    }
}
