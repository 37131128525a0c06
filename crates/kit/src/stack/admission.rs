//! Shed before you queue: a call either gets a slot at once or is told when to come back. Streams have slots of their own, so
//! that feeds that live for hours never starve the calls that live for milliseconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

use crate::contract::{Method, RateClass};
use crate::refusal::{Refusal, reason};

/// When a shed caller may try again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// One slot in this many is kept for the way to the till, which is shed last.
const CHECKOUT_SHARE: usize = 10;

pub(super) type Permit = OwnedSemaphorePermit;

pub(super) struct Admission {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    kept_for_checkout: usize,
}

impl Admission {
    pub(super) fn new(concurrency: usize) -> Self {
        let slots = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Admission {
            calls: Arc::new(Semaphore::new(slots)),
            streams: Arc::new(Semaphore::new(slots)),
            kept_for_checkout: slots / CHECKOUT_SHARE,
        }
    }

    /// A slot, held until the answer has left.
    pub(super) fn admit(&self, method: &Method) -> Result<Permit, Refusal> {
        let slots = if method.is_unary() { &self.calls } else { &self.streams };
        if method.calling.rate_class != RateClass::Checkout
            && slots.available_permits() <= self.kept_for_checkout
        {
            return Err(overloaded());
        }
        slots.clone().try_acquire_owned().map_err(|_| overloaded())
    }
}

fn overloaded() -> Refusal {
    Refusal::new(Code::Unavailable, reason::OVERLOADED, "too much is going on here; try again shortly")
        .retry_after(RETRY_AFTER)
}
