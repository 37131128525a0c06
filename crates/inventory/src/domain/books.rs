//! The books of one transaction: the locked accounts, what is known, and every decision of a batch in its order. Each
//! decision sees the ones before it. What changed is collected, to be written at once.

mod part;

use std::collections::HashMap;

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
    /// Pending as before, with less in them.
    pub shrunk: Vec<Shrunk>,
    pub ended: Vec<Ended>,
    pub movements: Vec<Movement>,
    pub levels: Vec<(CellKey, Level)>,
    pub quotas: Vec<QuotaChange>,
}

/// A reservation that this batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub id: ReservationId,
    pub state: ReservationState,
    /// The movement that ended it.
    pub by: i64,
    /// What was sold, line by line, where that was less than what it held.
    pub lines: Option<Vec<Line>>,
}

/// A reservation that holds less than before, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    pub id: ReservationId,
    pub lines: Vec<Line>,
}

impl Changes {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.made.is_empty() && self.shrunk.is_empty() && self.ended.is_empty() && self.movements.is_empty()
    }
}

/// Units a buyer now uses of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaChange {
    pub cell: CellKey,
    pub buyer: BuyerId,
    pub used: i64,
    pub limit: i64,
}

/// Units each buyer uses of a cell with a limit; only who never used any may be left out.
pub type Quotas = Vec<(CellKey, BuyerId, i64)>;

/// One cell's page: its account, what moved, what its buyers use.
#[derive(Debug)]
struct Page {
    account: Account,
    /// Where in the changes the movement of each kind is: the kinds of one transaction are few.
    moved: Vec<(MovementKind, usize)>,
    quotas: HashMap<BuyerId, Quota>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Quota {
    used: i64,
    changed: bool,
}

#[derive(Debug)]
pub struct Books {
    now: OffsetDateTime,
    pages: HashMap<CellKey, Page>,
    known: HashMap<ReservationId, Reservation>,
    sequences: std::vec::IntoIter<i64>,
    changes: Changes,
}

impl Books {
    /// `sequences` has at least one number for each kind of movement that each cell may see, in rising order.
    #[must_use]
    pub fn open(
        now: OffsetDateTime,
        accounts: HashMap<CellKey, Account>,
        known: impl IntoIterator<Item = Reservation>,
        quotas: Quotas,
        sequences: Vec<i64>,
    ) -> Self {
        let page = |account| Page { account, moved: Vec::new(), quotas: HashMap::new() };
        let mut pages: HashMap<_, _> =
            accounts.into_iter().map(|(cell, account)| (cell, page(account))).collect();
        for (cell, buyer, used) in quotas {
            if let Some(page) = pages.get_mut(&cell) {
                page.quotas.insert(buyer, Quota { used, changed: false });
            }
        }
        Self {
            now,
            pages,
            known: known.into_iter().map(|r| (r.id, r)).collect(),
            sequences: sequences.into_iter(),
            changes: Changes::default(),
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
        self.pages.get(cell).map(|page| page.account.level)
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
            let mut by = None;
            for line in reservation.lines.iter().filter(|line| line.quantity > 0) {
                let sequence = self.enter_line(line, resolution.movement(), id.uuid());
                by = by.or(Some(sequence));
                if resolution != Resolution::Commit
                    && let Some(buyer) = &reservation.buyer
                {
                    self.use_quota(&line.cell, buyer, -line.quantity);
                }
            }
            reservation.state = state;
            self.changes.ended.push(Ended { id, state, by: by.unwrap_or_default(), lines: None });
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
            asked: Vec::new(),
            lines: Vec::new(),
            expires_at: None,
            created_at: self.now,
            made_by: None,
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
        let level = self.pages.get(cell)?.account.level;
        let adjusted = Level { on_hand: level.on_hand.checked_add(delta)?, ..level };
        if !adjusted.is_sound() {
            return None;
        }
        self.enter_line(&Line { cell: cell.clone(), quantity: delta }, MovementKind::Adjust, adjustment_id);
        self.level(cell)
    }

    /// Everything that changed, levels and quotas as they are now.
    #[must_use]
    pub fn close(self) -> Changes {
        let mut changes = self.changes;
        for (cell, page) in self.pages.into_iter().filter(|(_, page)| !page.moved.is_empty()) {
            let Account { level, terms } = page.account;
            if let Some(limit) = terms.per_buyer_limit {
                let changed = page.quotas.into_iter().filter(|(_, quota)| quota.changed);
                let change = |(buyer, quota): (_, Quota)| QuotaChange {
                    cell: cell.clone(),
                    buyer,
                    used: quota.used,
                    limit,
                };
                changes.quotas.extend(changed.map(change));
            }
            changes.levels.push((cell, level));
        }
        changes
    }

    fn permit(&self, line: &Line, buyer: &BuyerId) -> Result<(), Denied> {
        let cell = || line.cell.clone();
        let page = self.pages.get(&line.cell).ok_or_else(|| Denied::PoolNotFound { cell: cell() })?;
        let Account { level, terms } = page.account;
        match terms.window.map(|window| window.state(self.now)) {
            Some(CampaignState::Planned) => return Err(Denied::NotOpen { cell: cell() }),
            Some(CampaignState::Closed) => return Err(Denied::Closed { cell: cell() }),
            Some(CampaignState::Open) | None => {}
        }
        if let Some(limit) = terms.per_buyer_limit {
            let used = page.quotas.get(buyer).map_or(0, |quota| quota.used);
            if used + line.quantity > limit {
                return Err(Denied::BuyerLimit { cell: cell(), limit: Some(limit) });
            }
        }
        if line.quantity > level.available() {
            return Err(Denied::OutOfStock { cell: cell(), free: level.available() });
        }
        Ok(())
    }

    fn enter(&mut self, demand: &Demand) -> Reservation {
        let movement = if demand.hold.is_some() { MovementKind::Hold } else { MovementKind::Deduct };
        let mut made_by = None;
        for line in demand.lines() {
            let sequence = self.enter_line(line, movement, demand.id.uuid());
            made_by = made_by.or(Some(sequence));
            self.use_quota(&line.cell, &demand.buyer, line.quantity);
        }
        let first = demand.lines().first().and_then(|line| self.level(&line.cell));
        let (state, receipt) = match demand.kind() {
            ReservationKind::Deduction => {
                let receipt = first
                    .zip(made_by)
                    .map(|(level, version)| Receipt { remaining: level.available(), version });
                (ReservationState::Committed, receipt)
            }
            ReservationKind::Hold | ReservationKind::Nothing => (ReservationState::Pending, None),
        };
        Reservation {
            id: demand.id,
            kind: demand.kind(),
            buyer: Some(demand.buyer.clone()),
            state,
            asked: demand.lines.clone(),
            lines: demand.lines.clone(),
            expires_at: demand.hold.map(|hold| self.now + hold),
            created_at: self.now,
            made_by,
            receipt,
        }
    }

    /// The number of the movement the line is part of.
    fn enter_line(&mut self, line: &Line, kind: MovementKind, reference: Uuid) -> i64 {
        let page = self.pages.get_mut(&line.cell).expect("only lines of locked cells are entered");
        let (on_hand, held, committed) = kind.deltas(line.quantity);
        let level = &mut page.account.level;
        level.on_hand += on_hand;
        level.held += held;
        level.committed += committed;
        if let Some((_, at)) = page.moved.iter().find(|(moved, _)| *moved == kind) {
            let movement = &mut self.changes.movements[*at];
            movement.quantity += line.quantity;
            movement.members += 1;
            movement.reference = None;
            return movement.sequence;
        }
        let sequence = self.sequences.next().expect("there is a number for every kind of movement of a cell");
        level.version = sequence;
        page.moved.push((kind, self.changes.movements.len()));
        self.changes.movements.push(Movement {
            sequence,
            cell: line.cell.clone(),
            kind,
            quantity: line.quantity,
            members: 1,
            reference: Some(reference),
        });
        sequence
    }

    fn use_quota(&mut self, cell: &CellKey, buyer: &BuyerId, delta: i64) {
        let Some(page) = self.pages.get_mut(cell) else { return };
        if page.account.terms.per_buyer_limit.is_none() {
            return;
        }
        if let Some(quota) = page.quotas.get_mut(buyer) {
            quota.used += delta;
            quota.changed = true;
        } else {
            page.quotas.insert(buyer.clone(), Quota { used: delta, changed: true });
        }
    }
}

/// The stored answer for the same demand; the same id for something else is a conflict. What has ended stays ended, and its buyer hears
/// that, whatever he asks for now.
fn answer_again(known: &Reservation, demand: &Demand, now: OffsetDateTime) -> Result<Reservation, Denied> {
    let state = known.state_at(now);
    let ended = matches!(state, ReservationState::Released | ReservationState::Expired);
    let party = known.kind == demand.kind() && known.buyer.as_ref() == Some(&demand.buyer);
    let same = party && known.asked == demand.lines;
    match (known.kind, party && ended, same) {
        (ReservationKind::Nothing, _, _) | (_, true, _) => Err(Denied::Resolved { id: demand.id, state }),
        (_, false, true) => Ok(known.clone()),
        (_, false, false) => Err(Denied::Conflict { id: demand.id }),
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
