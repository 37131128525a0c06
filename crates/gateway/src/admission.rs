//! Who may come in, decided from the headers alone and before a body is read: the rate of all, a free slot, the token, the
//! permission. The service behind checks token and permission again; it never takes our word.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use kit::Refusal;
use kit::auth::Verifier;
use kit::bucket::Bucket;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::errors::refusal;
use crate::targets::{Entry, Target};

/// Streams open at once that ask for no token: whoever holds them all takes nothing from callers with one.
const OPEN_STREAMS: usize = 64;
/// When a caller that was shed may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A slot, held until the answer has left.
pub(crate) type Permit = OwnedSemaphorePermit;

pub(crate) struct Admission {
    verifier: Arc<Verifier>,
    rate: Bucket,
    calls: Arc<Semaphore>,
    /// Feeds have slots of their own: they live for hours and must not starve the calls.
    streams: Arc<Semaphore>,
    open_streams: Arc<Semaphore>,
}

impl Admission {
    pub(crate) fn new(verifier: Arc<Verifier>, concurrency: usize, config: &Config) -> Self {
        let slots = |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Admission {
            verifier,
            rate: Bucket::new(config.rate, config.burst),
            calls: slots(concurrency),
            streams: slots(config.streams),
            open_streams: slots(OPEN_STREAMS),
        }
    }

    /// Lets a call in, or says why not.
    pub(crate) fn admit(&self, target: &Target, headers: &HeaderMap) -> Result<Permit, Refusal> {
        self.in_time()?;
        let permit = slot(if target.method.is_unary() { &self.calls } else { &self.streams })?;
        self.check(target, headers)?;
        Ok(permit)
    }

    /// Lets a stream in that asks for nothing but a slot.
    pub(crate) fn admit_open_stream(&self) -> Result<Permit, Refusal> {
        self.in_time()?;
        slot(&self.open_streams)
    }

    fn in_time(&self) -> Result<(), Refusal> {
        self.rate.take().map_err(|wait| {
            refusal(ErrorReason::RateLimited, "more calls a second than this gateway takes").retry_after(wait)
        })
    }

    fn check(&self, target: &Target, headers: &HeaderMap) -> Result<(), Refusal> {
        match target.entry {
            Entry::Token => {
                let caller = self.verifier.caller(headers)?;
                if target.method.permits(&caller.permissions) {
                    return Ok(());
                }
                Err(refusal(ErrorReason::PermissionDenied, "your roles do not grant this")
                    .metadata("permission", &target.method.access.permission))
            }
            Entry::Open => self.verifier.optional_caller(headers).map(|_| ()),
            Entry::Closed => {
                Err(refusal(ErrorReason::PeerNotAllowed, "this method is not for callers from outside")
                    .metadata("method", &*target.method.path))
            }
        }
    }
}

fn slot(slots: &Arc<Semaphore>) -> Result<Permit, Refusal> {
    slots.clone().try_acquire_owned().map_err(|_| {
        refusal(ErrorReason::Overloaded, "too many calls are in progress").retry_after(RETRY_AFTER)
    })
}
