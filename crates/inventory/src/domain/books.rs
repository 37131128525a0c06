//! The books of one transaction: the locked accounts, what is known, and every decision of a batch in its order. Each
//! decision sees the ones before it. What changed is collected, to be written at once.

use std::collections::{BTreeSet, HashMap};

use stampede_types::{BuyerId, ReservationId};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::campaign::CampaignState;
use super::reservation::{Receipt, Reservation, ReservationKind, ReservationState, Resolution, Resolved};
use super::stock::{Account, CellKey, Denied, Level, Line, Movement, MovementKind};

/// Somebody asks for units, all lines or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub id: ReservationId,
    pub buyer: BuyerId,
    /// How long they are held; none takes them at once and for good.
    pub hold: Option<Duration>,
    lines: Vec<Line>,
}

impl Demand {
    /// Sums the lines of one cell and puts them in the order of their cells.
    #[must_use]
    pub fn new(id: ReservationId, buyer: BuyerId, hold: Option<Duration>, lines: Vec<Line>) -> Self {
        Self { id, buyer, hold, lines: summed(lines) }
    }

    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    const fn kind(&self) -> ReservationKind {
        if self.hold.is_some() { ReservationKind::Hold } else { ReservationKind::Deduction }
    }
}

/// One line a cell, in the order of the cells.
#[must_use]
pub fn summed(mut lines: Vec<Line>) -> Vec<Line> {
    lines.sort_by(|a, b| a.cell.cmp(&b.cell));
    lines.dedup_by(|next, kept| {
        let same = next.cell == kept.cell;
        if same {
            kept.quantity += next.quantity;
        }
        same
    });
    lines
}

/// What a batch changed.
#[derive(Debug, Default)]
pub struct Changes {
    pub made: Vec<Reservation>,
    pub resolved: Vec<(ReservationId, ReservationState)>,
    pub movements: Vec<Movement>,
    pub levels: Vec<(CellKey, Level)>,
    /// Units a buyer now uses of a cell, and the limit.
    pub quotas: Vec<(CellKey, BuyerId, i64, i64)>,
}

#[derive(Debug)]
pub struct Books {
    now: OffsetDateTime,
    accounts: HashMap<CellKey, Account>,
    quotas: HashMap<(CellKey, BuyerId), i64>,
    known: HashMap<ReservationId, Reservation>,
    sequences: std::vec::IntoIter<i64>,
    changes: Changes,
    touched: BTreeSet<CellKey>,
    used: BTreeSet<(CellKey, BuyerId)>,
}

impl Books {
    /// `sequences` has at least one number for each line that may move, in rising order.
    #[must_use]
    pub fn open(
        now: OffsetDateTime,
        accounts: HashMap<CellKey, Account>,
        known: impl IntoIterator<Item = Reservation>,
        quotas: HashMap<(CellKey, BuyerId), i64>,
        sequences: Vec<i64>,
    ) -> Self {
        Self {
            now,
            accounts,
            quotas,
            known: known.into_iter().map(|r| (r.id, r)).collect(),
            sequences: sequences.into_iter(),
            changes: Changes::default(),
            touched: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    #[must_use]
    pub const fn now(&self) -> OffsetDateTime {
        self.now
    }

    #[must_use]
    pub fn known(&self, id: ReservationId) -> Option<&Reservation> {
        self.known.get(&id)
    }

    #[must_use]
    pub fn level(&self, cell: &CellKey) -> Option<Level> {
        self.accounts.get(cell).map(|account| account.level)
    }

    /// Holds or deducts all lines, or says why not. The flag tells whether it happened now or is the stored answer.
    ///
    /// # Errors
    /// The first rule that forbids it; nothing was changed then.
    pub fn demand(&mut self, demand: &Demand) -> Result<(Reservation, bool), Denied> {
        if let Some(known) = self.known.get(&demand.id) {
            return answer_again(known, demand, self.now).map(|reservation| (reservation, false));
        }
        for line in demand.lines() {
            self.permit(line, &demand.buyer)?;
        }
        let reservation = self.enter(demand);
        self.known.insert(demand.id, reservation.clone());
        self.changes.made.push(reservation.clone());
        Ok((reservation, true))
    }

    /// Ends a reservation, or tells how it ended.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn resolve(
        &mut self,
        id: ReservationId,
        resolution: Resolution,
    ) -> Result<(Reservation, Resolved), Denied> {
        let mut reservation = self.known.get(&id).cloned().ok_or(Denied::NotFound { id })?;
        let resolved = reservation.on(resolution, self.now);
        if let Resolved::Now(state) = resolved {
            for line in &reservation.lines {
                self.enter_line(line, resolution.movement(), id.uuid());
                if resolution != Resolution::Commit
                    && let Some(buyer) = &reservation.buyer
                {
                    self.use_quota(&line.cell, buyer, -line.quantity);
                }
            }
            reservation.state = state;
            self.changes.resolved.push((id, state));
            self.known.insert(id, reservation.clone());
        }
        reservation.state = reservation.state_at(self.now);
        Ok((reservation, resolved))
    }

    /// Remembers an id that was released before it arrived, so that a late request with it is refused.
    pub fn bury(&mut self, id: ReservationId) -> Reservation {
        let reservation = Reservation {
            id,
            kind: ReservationKind::Nothing,
            buyer: None,
            state: ReservationState::Released,
            lines: Vec::new(),
            expires_at: None,
            created_at: self.now,
            receipt: None,
        };
        self.known.insert(id, reservation.clone());
        self.changes.made.push(reservation.clone());
        reservation
    }

    /// Gives committed units back to their pool and frees the buyer's limit.
    pub fn give_back(&mut self, line: &Line, buyer: Option<&BuyerId>, return_id: Uuid) {
        self.enter_line(line, MovementKind::Return, return_id);
        if let Some(buyer) = buyer {
            self.use_quota(&line.cell, buyer, -line.quantity);
        }
    }

    /// Adds units on hand or takes them away; `None` when what is held and committed would not fit, or too much would be
    /// on hand.
    pub fn adjust(&mut self, cell: &CellKey, delta: i64, adjustment_id: Uuid) -> Option<Level> {
        let level = self.accounts.get(cell)?.level;
        let adjusted = Level { on_hand: level.on_hand.checked_add(delta)?, ..level };
        if !adjusted.is_sound() {
            return None;
        }
        self.enter_line(&Line { cell: cell.clone(), quantity: delta }, MovementKind::Adjust, adjustment_id);
        self.level(cell)
    }

    /// Everything that changed, levels and quotas as they are now.
    #[must_use]
    pub fn close(mut self) -> Changes {
        let level_of =
            |cell: CellKey| self.accounts.get(&cell).map(|account| account.level).map(|level| (cell, level));
        self.changes.levels = std::mem::take(&mut self.touched).into_iter().filter_map(level_of).collect();
        let quotas = std::mem::take(&mut self.used).into_iter().filter_map(|key| {
            let limit = self.accounts.get(&key.0)?.terms.per_buyer_limit?;
            let used = self.quotas.get(&key).copied()?;
            Some((key.0, key.1, used, limit))
        });
        self.changes.quotas = quotas.collect();
        self.changes
    }

    fn permit(&self, line: &Line, buyer: &BuyerId) -> Result<(), Denied> {
        let cell = || line.cell.clone();
        let Account { level, terms } =
            *self.accounts.get(&line.cell).ok_or_else(|| Denied::PoolNotFound { cell: cell() })?;
        match terms.window.map(|window| window.state(self.now)) {
            Some(CampaignState::Planned) => return Err(Denied::NotOpen { cell: cell() }),
            Some(CampaignState::Closed) => return Err(Denied::Closed { cell: cell() }),
            Some(CampaignState::Open) | None => {}
        }
        if let Some(limit) = terms.per_buyer_limit {
            let used = self.quotas.get(&(cell(), buyer.clone())).copied().unwrap_or(0);
            if used + line.quantity > limit {
                return Err(Denied::BuyerLimit { cell: cell(), limit: Some(limit) });
            }
        }
        if line.quantity > level.free() {
            return Err(Denied::OutOfStock { cell: cell(), free: level.free() });
        }
        Ok(())
    }

    fn enter(&mut self, demand: &Demand) -> Reservation {
        let movement = if demand.hold.is_some() { MovementKind::Hold } else { MovementKind::Deduct };
        for line in demand.lines() {
            self.enter_line(line, movement, demand.id.uuid());
            self.use_quota(&line.cell, &demand.buyer, line.quantity);
        }
        let first = demand.lines().first().and_then(|line| self.level(&line.cell));
        let receipt = match demand.kind() {
            ReservationKind::Deduction => {
                first.map(|level| Receipt { remaining: level.free(), version: level.version })
            }
            ReservationKind::Hold | ReservationKind::Nothing => None,
        };
        Reservation {
            id: demand.id,
            kind: demand.kind(),
            buyer: Some(demand.buyer.clone()),
            state: if demand.hold.is_some() {
                ReservationState::Pending
            } else {
                ReservationState::Committed
            },
            lines: demand.lines.clone(),
            expires_at: demand.hold.map(|hold| self.now + hold),
            created_at: self.now,
            receipt,
        }
    }

    fn enter_line(&mut self, line: &Line, kind: MovementKind, reference: Uuid) {
        let account = self.accounts.get_mut(&line.cell).expect("only lines of locked cells are entered");
        let sequence = self.sequences.next().expect("there is a number for every line that may move");
        let (on_hand, held, committed) = kind.deltas(line.quantity);
        account.level.on_hand += on_hand;
        account.level.held += held;
        account.level.committed += committed;
        account.level.version = sequence;
        self.touched.insert(line.cell.clone());
        let movement =
            Movement { sequence, cell: line.cell.clone(), kind, quantity: line.quantity, reference };
        self.changes.movements.push(movement);
    }

    fn use_quota(&mut self, cell: &CellKey, buyer: &BuyerId, delta: i64) {
        if self.accounts.get(cell).is_none_or(|account| account.terms.per_buyer_limit.is_none()) {
            return;
        }
        let key = (cell.clone(), buyer.clone());
        *self.quotas.entry(key.clone()).or_insert(0) += delta;
        self.used.insert(key);
    }
}

/// The stored answer for the same demand; the same id for something else is a conflict, and what has ended stays ended.
fn answer_again(known: &Reservation, demand: &Demand, now: OffsetDateTime) -> Result<Reservation, Denied> {
    let state = known.state_at(now);
    let ended = matches!(state, ReservationState::Released | ReservationState::Expired);
    let same = known.kind == demand.kind()
        && known.buyer.as_ref() == Some(&demand.buyer)
        && known.lines == demand.lines;
    match (known.kind, same, ended) {
        (ReservationKind::Nothing, _, _) | (_, true, true) => Err(Denied::Resolved { id: demand.id, state }),
        (_, false, _) => Err(Denied::Conflict { id: demand.id }),
        (_, true, false) => Ok(known.clone()),
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
