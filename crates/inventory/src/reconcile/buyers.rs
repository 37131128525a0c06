//! What the gate counts for buyers and has put aside for ids on their way, against the ledger: a page at a time, cell by cell.
//! What is wrong is looked at again when it is too old to be under way; what has not changed then is mended, one buyer or id at
//! a time. The gate may count less than the ledger: it learns what buyers have used from the ledger's refusals.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::report::Reporter;
use crate::domain::CellKey;
use crate::domain::drift::{Action, Difference, Kind, nobody_says};
use crate::gate::{Cell, Party, Place, Put};
use crate::inventory::Inventory;
use crate::store;

/// Differences kept in mind. Beyond them one is found again in the next lap.
const MAX_SUSPECTS: usize = 10_000;
/// Second looks of one step.
const REVIEWS: usize = 100;

/// Where a cell is being read.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Quotas(Place),
    Tokens(Place),
}

#[derive(Debug)]
struct Suspect {
    difference: Difference,
    buyer: String,
    since: Instant,
}

type Subject = (CellKey, Kind, String);

/// The cells to be read, and what differed.
#[derive(Debug)]
pub struct Buyers {
    /// Younger differences may be somebody on the way from the gate to the ledger.
    stale_after: Duration,
    /// With whether it has a limit.
    waiting: VecDeque<(Arc<Cell>, bool)>,
    reading: Option<Reading>,
    suspects: HashMap<Subject, Suspect>,
}

impl Buyers {
    pub fn new(stale_after: Duration) -> Self {
        Self { stale_after, waiting: VecDeque::new(), reading: None, suspects: HashMap::new() }
    }

    pub fn enqueue(&mut self, cell: Arc<Cell>, has_limit: bool) {
        self.waiting.push_back((cell, has_limit));
    }

    /// Whether every cell has been read.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing waits for a second look.
    pub fn is_settled(&self) -> bool {
        self.suspects.is_empty()
    }

    /// Reads one page.
    pub async fn step(&mut self, inventory: &Inventory, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Some((cell, has_limit)) = self.waiting.front().cloned() else { return Ok(()) };
        let next = match self.reading.take() {
            // Redis may have forgotten the cell by now.
            None if inventory.gate.layout(&cell).await.is_none_or(|layout| layout == 0) => None,
            None if has_limit => Some(Reading::Quotas(Place::default())),
            None => Some(Reading::Tokens(Place::default())),
            Some(Reading::Quotas(place)) => self.read_quotas(inventory, conn, &cell, place).await?,
            Some(Reading::Tokens(place)) => self.read_tokens(inventory, &cell, place).await,
        };
        self.reading = next;
        if next.is_none() {
            // Read to its end, or Redis does not answer: then it is read in the next lap.
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Looks again at what is old enough, and mends what has not changed.
    pub async fn review(
        &mut self,
        inventory: &Inventory,
        conn: &mut PgConnection,
        reporter: &Reporter,
    ) -> Result<(), sqlx::Error> {
        let now = Instant::now();
        let due = self.suspects.iter().filter(|(_, suspect)| now >= suspect.since + self.stale_after);
        let due: Vec<Subject> = due.take(REVIEWS).map(|(subject, _)| subject.clone()).collect();
        for subject in due {
            let Some(Suspect { difference, buyer, .. }) = self.suspects.remove(&subject) else { continue };
            let cell = inventory.gate.peek(&difference.cell);
            match look(inventory, conn, &cell, &difference, &buyer).await? {
                Some(again) if again == difference => {
                    let (action, known) = mend(inventory, conn, reporter, &cell, &again, &buyer).await?;
                    let said = Difference { reservations: known, ..again };
                    reporter.report(inventory, said, action).await;
                }
                Some(again) => self.suspect(again, buyer),
                None => {}
            }
        }
        Ok(())
    }

    async fn read_quotas(
        &mut self,
        inventory: &Inventory,
        conn: &mut PgConnection,
        cell: &Cell,
        place: Place,
    ) -> Result<Option<Reading>, sqlx::Error> {
        let Some((next, counted)) = inventory.gate.quotas(cell, place).await else { return Ok(None) };
        let buyers: Vec<String> = counted.iter().map(|(buyer, _)| buyer.clone()).collect();
        let used = store::reconciliation::quotas_of(conn, &cell.key, &buyers).await?;
        for (buyer, gate) in counted {
            let ledger = used.get(&buyer).copied().unwrap_or(0);
            if gate > ledger {
                self.suspect(quota(&cell.key, &buyer, gate, ledger), buyer);
            }
        }
        Ok(Some(next.map_or(Reading::Tokens(Place::default()), Reading::Quotas)))
    }

    async fn read_tokens(&mut self, inventory: &Inventory, cell: &Cell, place: Place) -> Option<Reading> {
        let (next, put) = inventory.gate.tokens(cell, place).await?;
        for put in put {
            self.suspect(token(&cell.key, &put), put.buyer);
        }
        next.map(Reading::Tokens)
    }

    fn suspect(&mut self, difference: Difference, buyer: String) {
        let subject = (difference.cell.clone(), difference.kind, difference.subject.clone());
        match self.suspects.get(&subject) {
            // Its clock goes on.
            Some(known) if known.difference == difference => {}
            Some(_) | None if self.suspects.len() < MAX_SUSPECTS => {
                self.suspects.insert(subject, Suspect { difference, buyer, since: Instant::now() });
            }
            Some(_) | None => {}
        }
    }
}

fn quota(key: &CellKey, buyer: &str, gate: i64, ledger: i64) -> Difference {
    let (gate, ledger) = (Some(gate), Some(ledger));
    Difference { subject: buyer.to_owned(), gate, ledger, ..nobody_says(key, Kind::GateQuota) }
}

fn token(key: &CellKey, put: &Put) -> Difference {
    let gate = Some(put.units);
    Difference { subject: put.token.to_string(), gate, ..nobody_says(key, Kind::GateToken) }
}

/// The same difference as it is now; none when there is none any more, or Redis does not answer.
async fn look(
    inventory: &Inventory,
    conn: &mut PgConnection,
    cell: &Cell,
    difference: &Difference,
    buyer: &str,
) -> Result<Option<Difference>, sqlx::Error> {
    if inventory.gate.layout(cell).await.is_none_or(|layout| layout == 0) {
        return Ok(None);
    }
    if let Ok(id) = Uuid::parse_str(&difference.subject)
        && difference.kind == Kind::GateToken
    {
        let put = inventory.gate.token(cell, buyer, id).await.flatten();
        return Ok(put.map(|put| token(&cell.key, &put)));
    }
    let Some(gate) = inventory.gate.quota(cell, buyer).await else { return Ok(None) };
    let used = store::reconciliation::quotas_of(conn, &cell.key, &[buyer.to_owned()]).await?;
    let ledger = used.get(buyer).copied().unwrap_or(0);
    Ok((gate > ledger).then(|| quota(&cell.key, buyer, gate, ledger)))
}

/// What was done, and the units the ledger has taken for a token, if it knows it.
async fn mend(
    inventory: &Inventory,
    conn: &mut PgConnection,
    reporter: &Reporter,
    cell: &Arc<Cell>,
    difference: &Difference,
    buyer: &str,
) -> Result<(Action, Option<i64>), sqlx::Error> {
    let (gate, ledger) = (difference.gate.unwrap_or(0), difference.ledger.unwrap_or(0));
    if difference.kind == Kind::GateQuota {
        let action = match reporter.dry_run {
            true => Action::WouldRepair,
            false if inventory.gate.set_quota(cell, buyer, gate, ledger).await == Some(true) => {
                Action::QuotaSet
            }
            false => Action::NotRepaired,
        };
        return Ok((action, None));
    }
    let (Ok(token), Ok(buyer)) = (Uuid::parse_str(&difference.subject), buyer.parse()) else {
        return Ok((Action::NotRepaired, None));
    };
    let taken = store::reconciliation::taken(conn, &cell.key, &[token]).await?.remove(&token);
    let party = Party { token, buyer };
    // Said as the request would have said it: by the ledger's number it counts once, whatever the gate has loaded since.
    let action = match taken {
        _ if reporter.dry_run => Action::WouldRepair,
        Some((units, number)) => {
            inventory.gate.taken(cell.clone(), &party, units, number);
            Action::Forgotten
        }
        None => {
            inventory.gate.refused(std::slice::from_ref(cell), &party).await;
            Action::GivenBack
        }
    };
    Ok((action, taken.map(|(units, _)| units)))
}
