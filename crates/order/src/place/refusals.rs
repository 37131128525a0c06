//! Holds whose orders were refused a moment ago for a promotion that is used up. Their stock goes back, so no other try with the same
//! key may be written on them meanwhile; one that has made another hold may. Only this process knows them: a try that another process writes at that very moment ends
//! unpaid, because its stock is gone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::NewOrder;
use crate::domain::order::Order;
use crate::domain::promotion::uses::UsedUp;

/// How long a refusal is remembered: longer than a try may be under way.
const KEPT: Duration = Duration::from_secs(10);
/// Refusals remembered at once.
const MOST: usize = 50_000;

/// By reservation.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Uuid, (Instant, UsedUp)>>);

impl Refusals {
    /// Of these orders those on a hold that was refused, by the order's id.
    pub fn among(&self, orders: &[(usize, &NewOrder)]) -> HashMap<Uuid, UsedUp> {
        let refused = self.lock();
        if refused.is_empty() {
            return HashMap::new();
        }
        let refusal = |order: &Order| {
            let (at, used_up) = refused.get(&order.reservation().uuid())?;
            (at.elapsed() < KEPT).then(|| (order.id.uuid(), used_up.clone()))
        };
        orders.iter().filter_map(|(_, one)| refusal(&one.order)).collect()
    }

    /// `used_up` is by the order's id.
    pub fn remember(&self, orders: &[(usize, &NewOrder)], used_up: &HashMap<Uuid, UsedUp>) {
        if used_up.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut refused = self.lock();
        refused.retain(|_, (at, _)| now.duration_since(*at) < KEPT);
        let room = MOST.saturating_sub(refused.len());
        let refusal = |order: &Order| {
            let used_up = used_up.get(&order.id.uuid())?;
            Some((order.reservation().uuid(), (now, used_up.clone())))
        };
        refused.extend(orders.iter().filter_map(|(_, one)| refusal(&one.order)).take(room));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Instant, UsedUp)>> {
        // Whoever panicked with it left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
