//! Ending a part of a hold: some of it is sold or kept, the rest goes back. A line's quantity only ever becomes less.

use std::collections::HashMap;

use stampede_types::ReservationId;

use super::super::reservation::{Reservation, ReservationState, Resolution, Resolved};
use super::super::stock::{CellKey, Denied, Line, MovementKind};
use super::{Books, Ended, Shrunk};

impl Books {
    /// Sells these lines of a hold and gives the rest back, in one step; or tells how it had ended.
    ///
    /// # Errors
    /// There is none with this id, less is held than shall be sold, or other lines than these were sold before.
    pub fn commit_part(
        &mut self,
        id: ReservationId,
        sold: &[Line],
    ) -> Result<(Reservation, Resolved), Denied> {
        let mut reservation = self.known.get(&id).cloned().ok_or(Denied::NotFound { id })?;
        let resolved = reservation.on(Resolution::Commit, self.now);
        match resolved {
            Resolved::Now(state) => {
                at_most(sold, &reservation.lines)?;
                let parts = parts(&reservation.lines, sold);
                let rest = self.give_rest(&reservation, &parts);
                let entered = parts.iter().filter(|part| part.quantity > 0);
                let numbers = entered.map(|part| self.enter_line(part, MovementKind::Commit, id.uuid()));
                let by = numbers.collect::<Vec<_>>().into_iter().chain(rest).min().unwrap_or_default();
                let lines = rest.is_some().then(|| parts.clone());
                (reservation.lines, reservation.state) = (parts, state);
                self.changes.ended.push(Ended { id, state, by, lines });
                self.known.insert(id, reservation.clone());
            }
            Resolved::Before(_) if !sold.iter().eq(reservation.lines.iter().filter(|l| l.quantity > 0)) => {
                return Err(Denied::Conflict { id });
            }
            Resolved::Before(_) | Resolved::Shrunk | Resolved::Lost(_) => {}
        }
        reservation.state = reservation.state_at(self.now);
        Ok((reservation, resolved))
    }

    /// Lets a hold keep at most these lines and gives the rest back; it stays pending unless nothing is left of it.
    ///
    /// # Errors
    /// There is none with this id, or more shall be kept than was ever asked for.
    pub fn keep_part(&mut self, id: ReservationId, keep: &[Line]) -> Result<(Reservation, Resolved), Denied> {
        let mut reservation = self.known.get(&id).cloned().ok_or(Denied::NotFound { id })?;
        match reservation.on(Resolution::Release, self.now) {
            Resolved::Now(_) | Resolved::Shrunk => {}
            // To keep something of it is too late, however it ended.
            Resolved::Before(state) | Resolved::Lost(state) => {
                reservation.state = state;
                return Ok((reservation, Resolved::Lost(state)));
            }
        }
        at_most(keep, &reservation.asked)?;
        let parts = parts(&reservation.lines, keep);
        if parts.iter().all(|part| part.quantity == 0) {
            return self.resolve(id, Resolution::Release);
        }
        if self.give_rest(&reservation, &parts).is_none() {
            return Ok((reservation, Resolved::Before(ReservationState::Pending)));
        }
        reservation.lines = parts;
        // One entry a reservation: what it holds in the end is what is written.
        self.changes.shrunk.retain(|shrunk| shrunk.id != id);
        self.changes.shrunk.push(Shrunk { id, lines: reservation.lines.clone() });
        self.known.insert(id, reservation.clone());
        Ok((reservation, Resolved::Shrunk))
    }

    /// Releases what is held beyond these parts; the lowest movement that did, none when there was nothing.
    fn give_rest(&mut self, reservation: &Reservation, parts: &[Line]) -> Option<i64> {
        let mut first = None;
        for (line, part) in reservation.lines.iter().zip(parts) {
            let quantity = line.quantity - part.quantity;
            if quantity > 0 {
                let rest = Line { cell: line.cell.clone(), quantity };
                let number = self.enter_line(&rest, MovementKind::Release, reservation.id.uuid());
                first = first.or(Some(number));
                if let Some(buyer) = &reservation.buyer {
                    self.use_quota(&line.cell, buyer, -quantity);
                }
            }
        }
        first
    }
}

fn at_most(named: &[Line], most: &[Line]) -> Result<(), Denied> {
    for line in named {
        let most = most.iter().find(|most| most.cell == line.cell).map_or(0, |most| most.quantity);
        if line.quantity > most {
            return Err(Denied::NotThatMuch { cell: line.cell.clone(), most });
        }
    }
    Ok(())
}

/// What stays of each line: as named, and never more than there is.
fn parts(lines: &[Line], named: &[Line]) -> Vec<Line> {
    let named: HashMap<&CellKey, i64> = named.iter().map(|line| (&line.cell, line.quantity)).collect();
    let part = |line: &Line| {
        let quantity = named.get(&line.cell).map_or(0, |named| line.quantity.min(*named));
        Line { cell: line.cell.clone(), quantity }
    };
    lines.iter().map(part).collect()
}
