//! Requests that their caller takes back: the cheapest way to keep a server busy is to ask over HTTP/2 and reset at once (CVE-2023-44487).
//! A connection that does so more often than any honest caller is closed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bucket::Bucket;

/// Requests of one connection taken back, a second and at once.
const RATE: u64 = 100;
const BURST: u64 = 1_000;

/// Counts what a connection takes back.
pub(super) struct Abandoned {
    bucket: Bucket,
    /// Ends the connection.
    kill: CancellationToken,
}

impl Abandoned {
    pub(super) fn new(kill: CancellationToken) -> Self {
        Abandoned { bucket: Bucket::new(RATE, BURST), kill }
    }

    fn one(&self) {
        if self.bucket.take().is_err() {
            self.kill.cancel();
        }
    }
}

/// A request that is counted when this is dropped before its answer.
pub(super) struct Unanswered(Option<Arc<Abandoned>>);

impl Unanswered {
    pub(super) fn of(abandoned: &Arc<Abandoned>) -> Self {
        Unanswered(Some(abandoned.clone()))
    }

    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.0 {
            abandoned.one();
        }
    }
}
