//! Levels as Redis has them, of many cells at once: for comparing them with the ledger's. It changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shared;
use super::cells::Cell;

/// Free units and version of each cell; `None` for cells that are not loaded, and for all when Redis does not answer.
pub async fn read(gate: &Shared, cells: &[Arc<Cell>]) -> Option<Vec<Option<(i64, i64)>>> {
    // A call's keys are of one pool: pools live apart in a cluster.
    let mut pools: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, cell) in cells.iter().enumerate() {
        pools.entry(cell.key.pool.as_str()).or_default().push(at);
    }
    let reads = pools.into_values().map(async |members| {
        let mut pipeline = redis::pipe();
        for at in &members {
            pipeline.hmget(&cells[*at].buckets().keys(0)[0], &["free", "version"]);
        }
        let lane = cells[*members.first()?].lane;
        let levels: Vec<(Option<i64>, Option<i64>)> = gate.link.pipeline(lane, &pipeline).await.ok()?;
        Some(members.into_iter().zip(levels).collect::<Vec<_>>())
    });
    let mut found = vec![None; cells.len()];
    for read in futures::future::join_all(reads).await {
        for (at, (free, version)) in read? {
            found[at] = free.zip(version);
        }
    }
    Some(found)
}
