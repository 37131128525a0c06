//! Orders that were refused a moment ago for a promotion that is used up. Their stock goes back, so no other try with the same key
//! may be written on it meanwhile. Only this process knows them: a try that another process writes at that very moment ends
//! unpaid, because its stock is gone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::NewOrder;
use crate::domain::promotion::uses::UsedUp;

/// How long a refusal is remembered: longer than a try may be under way.
const KEPT: Duration = Duration::from_secs(10);
/// Refusals remembered at once.
const MOST: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Uuid, (Instant, UsedUp)>>);

impl Refusals {
    /// Of these orders those that were refused.
    pub fn among(&self, orders: &[(usize, &NewOrder)]) -> HashMap<Uuid, UsedUp> {
        let refused = self.lock();
        if refused.is_empty() {
            return HashMap::new();
        }
        let refusal = |id: Uuid| {
            let (at, used_up) = refused.get(&id)?;
            (at.elapsed() < KEPT).then(|| (id, used_up.clone()))
        };
        orders.iter().filter_map(|(_, one)| refusal(one.order.id.uuid())).collect()
    }

    pub fn remember(&self, used_up: &HashMap<Uuid, UsedUp>) {
        if used_up.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut refused = self.lock();
        refused.retain(|_, (at, _)| now.duration_since(*at) < KEPT);
        let room = MOST.saturating_sub(refused.len());
        refused.extend(used_up.iter().take(room).map(|(id, used_up)| (*id, (now, used_up.clone()))));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Instant, UsedUp)>> {
        // Whoever panicked with it left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
