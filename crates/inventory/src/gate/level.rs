//! Levels as Redis has them: of many cells at once, for comparing them with the ledger's, and of the buckets of one. It changes
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shared;
use super::cells::Cell;
use super::link::Down;

/// What is free in a bucket, its version and its layout.
type Read = (Option<i64>, Option<i64>, Option<i64>);

/// Free units and version of each cell, over all its buckets; `None` for cells that are not loaded, and for all when Redis does not
/// answer.
pub async fn read(gate: &Shared, cells: &[Arc<Cell>]) -> Option<Vec<Option<(i64, i64)>>> {
    // A call's keys are of one bucket of one pool: others live elsewhere in a cluster.
    let mut places: HashMap<(&str, u32), Vec<usize>> = HashMap::new();
    let layouts: Vec<u32> = cells.iter().map(|cell| cell.buckets().layout()).collect();
    for (at, cell) in cells.iter().enumerate() {
        for bucket in 0..layouts[at] {
            places.entry((cell.key.pool.as_str(), bucket)).or_default().push(at);
        }
    }
    let reads = places.into_iter().map(async |((_, bucket), members)| {
        let mut pipeline = redis::pipe();
        for at in &members {
            pipeline.hmget(&cells[*at].buckets().keys(bucket)[0], &["free", "version", "layout"]);
        }
        let lane = cells[*members.first()?].lane;
        let levels: Vec<Read> = gate.link.pipeline(lane, &pipeline).await.ok()?;
        Some(members.into_iter().zip(levels).collect::<Vec<_>>())
    });
    let mut found = vec![Some((0, 0)); cells.len()];
    for read in futures::future::join_all(reads).await {
        for (at, (free, version, layout)) in read? {
            let is_ours = layout == Some(layouts[at].into());
            let level = free.zip(version).filter(|_| is_ours);
            // A version only grows, so that the sum grows with each.
            found[at] = found[at].zip(level).map(|((f, v), (free, version))| (f + free, v + version));
        }
    }
    Some(found)
}

/// Free units of each bucket; `None` when one of them is not loaded, or in another layout.
pub async fn of_buckets(gate: &Shared, cell: &Cell, layout: u32) -> Result<Option<Vec<i64>>, Down> {
    let reads = (0..layout).map(async |bucket| {
        let mut read = redis::pipe();
        read.hmget(&cell.buckets().keys(bucket)[0], &["free", "version", "layout"]);
        let (level,): (Read,) = gate.link.pipeline(cell.lane, &read).await?;
        Ok(level)
    });
    let levels = futures::future::join_all(reads).await.into_iter().collect::<Result<Vec<Read>, Down>>()?;
    let free = |(free, _, is): Read| free.filter(|_| is == Some(layout.into()));
    Ok(levels.into_iter().map(free).collect())
}

/// Into how many buckets the first one says that the cell is divided; one when it is not loaded.
pub async fn layout(gate: &Shared, cell: &Cell) -> Result<u32, Down> {
    let mut read = redis::pipe();
    read.hget(&cell.buckets().keys(0)[0], "layout");
    let (layout,): (Option<u32>,) = gate.link.pipeline(cell.lane, &read).await?;
    Ok(layout.unwrap_or(1))
}

/// Forgets the buckets from this one up to that one.
pub async fn forget(gate: &Shared, cell: &Cell, buckets: std::ops::Range<u32>) -> Result<(), Down> {
    let deletions = buckets.map(async |bucket| {
        let mut delete = redis::pipe();
        delete.del(cell.buckets().keys(bucket).as_slice()).ignore();
        gate.link.pipeline::<()>(cell.lane, &delete).await
    });
    futures::future::join_all(deletions).await.into_iter().collect()
}
