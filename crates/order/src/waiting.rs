//! Callers who wait for somebody else's work on an order. A saga that is driven in this process wakes them when it lets go; what other
//! processes drive is found by looking, now and then. It knows nothing of the order itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stampede_types::OrderId;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Orders somebody waits for. Cheap when nobody does.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<OrderId, Door>>);

#[derive(Debug, Default)]
struct Door {
    waiters: usize,
    news: Arc<Notify>,
}

/// One caller's place. It is given up when dropped.
#[derive(Debug)]
pub struct Place<'a> {
    waiting: &'a Waiting,
    order: OrderId,
    news: Arc<Notify>,
}

impl Waiting {
    pub fn take_place(&self, order: OrderId) -> Place<'_> {
        let mut doors = self.doors();
        let door = doors.entry(order).or_default();
        door.waiters += 1;
        Place { waiting: self, order, news: door.news.clone() }
    }

    /// A saga of this order has let go, for now or for good.
    pub fn let_go(&self, order: OrderId) {
        if let Some(door) = self.doors().get(&order) {
            door.news.notify_waiters();
        }
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<OrderId, Door>> {
        // Nothing can panic while it is held, and a map of places is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Ends with the next news. Take it before looking: news between the look and the wait are then not missed.
    pub fn news(&self) -> Notified<'_> {
        self.news.notified()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut doors = self.waiting.doors();
        if let Some(door) = doors.get_mut(&self.order) {
            door.waiters -= 1;
            if door.waiters == 0 {
                doors.remove(&self.order);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn news_after_the_place_was_taken_are_never_missed_and_places_are_given_back() {
        let waiting = Waiting::default();
        let [one, other] = [1, 2].map(|id| OrderId::new(Uuid::from_u128(id)));
        let (first, second) = (waiting.take_place(one), waiting.take_place(one));
        let stranger = waiting.take_place(other);
        let (heard, also, not) = (first.news(), second.news(), stranger.news());
        waiting.let_go(one);
        assert!(heard.now_or_never().is_some() && also.now_or_never().is_some());
        assert!(not.now_or_never().is_none());
        drop(stranger);
        drop(first);
        assert_eq!(waiting.doors().len(), 1);
        drop(second);
        assert!(waiting.doors().is_empty());
        waiting.let_go(one);
    }
}
