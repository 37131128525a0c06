//! Returning: committed units go back to their pool, once a return id, and free the buyer's limit.

use serde_json::{Value, json};
use stampede_kit::{outbox, task};
use stampede_types::ReservationId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Books, CellKey, Denied, Level, Line, Reservation, ReservationState};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::store::returns::Returnable;
use crate::{events, ledger, store};

impl Inventory {
    /// Gives back these lines, or everything not given back yet when there are none. The levels of what was named as
    /// they are now, or of the whole reservation; the same cells when it is asked again.
    pub async fn return_stock(
        &self,
        id: ReservationId,
        return_id: Uuid,
        asked: Vec<Line>,
    ) -> Result<Vec<(CellKey, Level)>, Error> {
        // A caller that goes away must not keep the gate from hearing of it.
        let inventory = self.clone();
        task::carried("return", async move { inventory.return_now(id, return_id, asked).await }).await
    }

    async fn return_now(
        &self,
        id: ReservationId,
        return_id: Uuid,
        asked: Vec<Line>,
    ) -> Result<Vec<(CellKey, Level)>, Error> {
        let (mut tx, accounts, known) = ledger::lock(&self.db, &[id]).await?;
        let said = as_said(&asked);
        let named = named(&asked, known.first());
        if let Some(made) = store::returns::find(&mut tx, return_id).await? {
            let same = made.reservation == id && made.asked == said;
            let levels = levels(named, |cell| accounts.get(cell).map(|account| account.level));
            return if same { Ok(levels) } else { Err(Denied::Conflict { id }.into()) };
        }
        let (now, sequences) = store::levels::stamp(&mut tx, accounts.len()).await?;
        let reservation = committed(known.into_iter().next(), id, now)?;
        let sold = store::returns::lines(&mut tx, id).await?;
        let lines = returning(asked, &sold)?;
        let buyers = lines.iter().filter_map(|line| Some((&line.cell, reservation.buyer.as_ref()?)));
        let quotas = store::quotas::read(&mut tx, &buyers.collect::<Vec<_>>()).await?;

        let number = sequences.first().copied().unwrap_or_default();
        let mut books = Books::open(now, accounts, [], quotas, sequences);
        for line in &lines {
            books.give_back(line, reservation.buyer.as_ref(), return_id);
        }
        let levels = levels(named, |cell| books.level(cell));
        let changes = books.close();
        store::returns::insert(&mut tx, return_id, id, &said, &returned_by_now(&sold, &lines)).await?;
        if !changes.movements.is_empty() {
            store::levels::record(&mut tx, &changes, now).await?;
            outbox::append(&mut tx, &[events::returned(id, return_id, &lines, now)]).await?;
        }
        tx.commit().await?;
        self.ledger.after_commit.wake();
        self.open_gate(&reservation, &lines, number).await;
        Ok(levels)
    }

    async fn open_gate(&self, reservation: &Reservation, lines: &[Line], number: i64) {
        for line in lines {
            let cell = self.gate.cells().meet(&line.cell);
            self.gate.moved(cell, reservation.buyer.as_ref(), line.quantity, number).await;
        }
    }
}

/// The cells somebody asks about: those of the lines, or all of the reservation when there are none.
fn named(asked: &[Line], found: Option<&Reservation>) -> Vec<CellKey> {
    let lines = if asked.is_empty() { found.map_or(&[][..], |found| &found.lines) } else { asked };
    lines.iter().map(|line| line.cell.clone()).collect()
}

fn levels(cells: Vec<CellKey>, of: impl Fn(&CellKey) -> Option<Level>) -> Vec<(CellKey, Level)> {
    cells.into_iter().filter_map(|cell| of(&cell).map(|level| (cell, level))).collect()
}

/// Only what was sold can come back. A hold past its expiry is told as expired, swept or not, as by everybody else.
fn committed(
    found: Option<Reservation>,
    id: ReservationId,
    now: OffsetDateTime,
) -> Result<Reservation, Error> {
    let reservation = found.ok_or(Denied::NotFound { id })?;
    match reservation.state_at(now) {
        ReservationState::Committed => Ok(reservation),
        state @ (ReservationState::Pending | ReservationState::Released | ReservationState::Expired) => {
            Err(Denied::Resolved { id, state }.into())
        }
    }
}

/// What comes back: as asked, each at most what has not come back yet; all that is left when nothing was named.
fn returning(asked: Vec<Line>, sold: &[Returnable]) -> Result<Vec<Line>, Error> {
    let left = |sold: &Returnable| sold.line.quantity - sold.returned;
    if asked.is_empty() {
        let rest = sold.iter().filter(|sold| left(sold) > 0);
        return Ok(rest.map(|sold| Line { cell: sold.line.cell.clone(), quantity: left(sold) }).collect());
    }
    for line in &asked {
        let most = sold.iter().find(|sold| sold.line.cell == line.cell).map_or(0, left);
        if line.quantity > most {
            return Err(Denied::NotThatMuch { cell: line.cell.clone(), most }.into());
        }
    }
    Ok(asked)
}

/// What has come back of each line when `lines` have too.
fn returned_by_now(sold: &[Returnable], lines: &[Line]) -> Vec<i64> {
    let now = |cell: &CellKey| {
        lines.iter().filter(|line| line.cell == *cell).map(|line| line.quantity).sum::<i64>()
    };
    sold.iter().map(|sold| sold.returned + now(&sold.line.cell)).collect()
}

/// What was asked for, in a form that can be compared.
fn as_said(asked: &[Line]) -> Value {
    let line = |line: &Line| json!([line.cell.pool.as_str(), line.cell.sku.as_str(), line.quantity]);
    Value::Array(asked.iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;

    use super::*;
    use crate::domain::ReservationKind;

    #[test]
    fn nothing_comes_back_twice() {
        let cell = CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() };
        let line = |quantity| Line { cell: cell.clone(), quantity };
        let sold = [Returnable { line: line(3), returned: 1 }];
        assert_eq!(returning(vec![], &sold).unwrap(), vec![line(2)]);
        assert_eq!(returning(vec![line(2)], &sold).unwrap(), vec![line(2)]);
        assert!(returning(vec![line(3)], &sold).is_err());
    }

    #[test]
    fn a_hold_past_its_expiry_is_told_as_expired_before_anybody_has_swept_it() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let id = ReservationId::new(Uuid::nil());
        let hold = Reservation {
            id,
            kind: ReservationKind::Hold,
            buyer: None,
            state: ReservationState::Pending,
            asked: Vec::new(),
            lines: Vec::new(),
            expires_at: Some(now),
            created_at: now,
            made_by: None,
            receipt: None,
        };
        let told = committed(Some(hold), id, now).unwrap_err();
        let expired = Denied::Resolved { id, state: ReservationState::Expired };
        assert!(matches!(&told, Error::Denied(denied) if *denied == expired), "{told:?}");
    }
}
