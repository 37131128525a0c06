//! Settling: what became of units at the ledger, told to Redis, many at once. Each decision of the ledger carries its number, so
//! that the script counts it once, in whatever order decisions and loads arrive. What is lost with Redis is told again after the cell
//! has been loaded.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::bucket::KEYS;
use super::cells::Cell;
use super::link::Down;
use super::{Shared, bucket};
use crate::domain::CellKey;

/// Settlements that may wait. One more makes its cell be loaded again instead.
pub const QUEUE: usize = 65_536;
/// Settlements of one script call.
const AT_ONCE: usize = 500;
/// How often a settlement follows a cell whose buckets changed meanwhile.
const FOLLOWS: usize = 3;
/// How often is tried to tell what could not be told.
const LATE_EVERY: Duration = Duration::from_millis(100);
/// As long as a load keeps units aside that nobody has spoken of.
const LATE_FOR: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy)]
pub enum What {
    /// The ledger gave so many units to the token by the movement of this number.
    Taken { token: Uuid, units: i64, number: i64 },
    /// The ledger gave the token nothing.
    Refused { token: Uuid },
    /// The same, because of this limit.
    Over { token: Uuid, limit: i64 },
    /// Nobody knows what the ledger did. The cell is loaded before it is used again.
    Unknown { token: Uuid },
    /// So many units more are free, or less, and no longer count for the buyer, by the movement of this number.
    Moved { units: i64, number: i64 },
}

#[derive(Debug)]
pub struct Settlement {
    pub cell: Arc<Cell>,
    /// Nobody's is empty.
    pub buyer: String,
    pub what: What,
    /// Told when it is done.
    pub done: Option<oneshot::Sender<()>>,
}

/// What could not be told because Redis did not answer.
struct Late {
    settlement: Settlement,
    since: Instant,
}

/// Ends when the gate is gone.
pub async fn run(gate: Arc<Shared>, mut queue: mpsc::Receiver<Settlement>) {
    let mut taken = Vec::with_capacity(AT_ONCE);
    let mut late: VecDeque<Late> = VecDeque::new();
    let mut caught_up = Instant::now();
    loop {
        let received = queue.recv_many(&mut taken, AT_ONCE);
        if late.is_empty() {
            if received.await == 0 {
                return;
            }
        } else {
            // Nothing received in time is as good as something: what is late is looked at.
            if let Ok(0) = tokio::time::timeout(LATE_EVERY, received).await {
                return;
            }
            if caught_up.elapsed() >= LATE_EVERY {
                catch_up(&gate, &mut late).await;
                caught_up = Instant::now();
            }
        }
        let lost = tell(&gate, &taken).await;
        for (at, mut settlement) in taken.drain(..).enumerate() {
            if let Some(done) = settlement.done.take() {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
            if lost.contains(&at) && late.len() < QUEUE {
                late.push_back(Late { settlement, since: Instant::now() });
            }
        }
    }
}

/// Tells what came too late to cells that have been loaded since. The level they were loaded at has every decision that was
/// lost, so that only units which are still put aside for it become free, whether it was told the first time or not.
async fn catch_up(gate: &Shared, late: &mut VecDeque<Late>) {
    late.retain(|late| late.since.elapsed() < LATE_FOR);
    let mut now = Vec::new();
    for _ in 0..late.len() {
        let Some(Late { mut settlement, since }) = late.pop_front() else { break };
        let cell = &settlement.cell;
        if now.len() < AT_ONCE && cell.is_loaded(gate.link.generation(cell.lane)) {
            // The level says what nobody knew.
            if let What::Unknown { token } = settlement.what {
                settlement.what = What::Refused { token };
            }
            now.push(settlement);
        } else {
            late.push_back(Late { settlement, since });
        }
    }
    tell(gate, &now).await;
}

/// Which of them could not be told.
async fn tell(gate: &Shared, settlements: &[Settlement]) -> HashSet<usize> {
    let mut rest: Vec<(usize, &Settlement)> = settlements.iter().enumerate().collect();
    let mut lost = HashSet::new();
    for _ in 0..FOLLOWS {
        if rest.is_empty() {
            break;
        }
        rest = round(gate, rest, &mut lost).await;
    }
    // Its buckets change faster than they can be told: what is not counted is loaded.
    rest.iter().for_each(|(_, settlement)| settlement.cell.invalidate());
    lost
}

type Place<'a> = (&'a str, u32, u32);

type Members<'a> = Vec<(usize, &'a Settlement)>;

/// One call a bucket; what has to be told again because its cell is divided otherwise.
async fn round<'a>(gate: &Shared, settlements: Members<'a>, lost: &mut HashSet<usize>) -> Members<'a> {
    let mut places: HashMap<Place<'a>, Members<'a>> = HashMap::new();
    for (at, settlement) in settlements {
        let layout = settlement.cell.buckets().layout();
        let place = (settlement.cell.key.pool.as_str(), bucket::of_buyer(&settlement.buyer, layout), layout);
        places.entry(place).or_default().push((at, settlement));
    }
    let calls = places.iter().map(|((_, bucket, layout), members)| call(gate, *bucket, *layout, members));
    let mut again = Vec::new();
    for (told, members) in futures::future::join_all(calls).await.into_iter().zip(places.values()) {
        match told {
            Ok(follow) => again.extend(follow),
            Err(Down) => lost.extend(members.iter().map(|(at, _)| *at)),
        }
    }
    again
}

/// When Redis does not answer nothing is repeated at once: the failure has put the cells in doubt, and they are loaded first.
async fn call<'a>(
    gate: &Shared,
    bucket: u32,
    layout: u32,
    members: &[(usize, &'a Settlement)],
) -> Result<Members<'a>, Down> {
    let mut places: HashMap<&CellKey, usize> = HashMap::new();
    let mut cells: Vec<&Arc<Cell>> = Vec::new();
    for (_, Settlement { cell, .. }) in members {
        places.entry(&cell.key).or_insert_with(|| {
            cells.push(cell);
            cells.len()
        });
    }
    let Some(lane) = cells.first().map(|cell| cell.lane) else { return Ok(Vec::new()) };
    let mut call = gate.scripts.settle.call(cells.len() * KEYS);
    for key in cells.iter().flat_map(|cell| cell.buckets().keys(bucket)) {
        call.arg(key);
    }
    call.arg(layout);
    for (_, Settlement { cell, buyer, what, .. }) in members {
        let (word, token, units, number) = match what {
            What::Taken { token, units, number } => ("taken", Some(token), *units, *number),
            What::Refused { token } => ("refused", Some(token), 0, 0),
            What::Over { token, limit } => ("over", Some(token), *limit, 0),
            What::Unknown { token } => ("unknown", Some(token), 0, 0),
            What::Moved { units, number } => ("moved", None, *units, *number),
        };
        let token = token.map_or(&[][..], |token| token.as_bytes());
        call.arg(places[&cell.key]).arg(word).arg(token).arg(buyer).arg(units).arg(number);
    }
    let reply: Vec<i64> = gate.link.script(lane, &gate.scripts.settle, &call).await?;
    let mut moved: Vec<&Arc<Cell>> = Vec::new();
    for (cell, reply) in cells.into_iter().zip(reply.chunks_exact(2)) {
        match *reply {
            [0, elsewhere] => {
                cell.moved_to(elsewhere);
                moved.push(cell);
            }
            [version, 1] => cell.reopen(version),
            _ => {}
        }
    }
    // What is not loaded anywhere has nothing to be told.
    let follows = |settlement: &Settlement| {
        moved.iter().any(|cell| Arc::ptr_eq(cell, &settlement.cell))
            && settlement.cell.buckets().layout() != layout
    };
    Ok(members.iter().filter(|(_, settlement)| follows(settlement)).copied().collect())
}
