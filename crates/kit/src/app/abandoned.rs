//! Requests that their caller takes back: the cheapest way to keep a server busy is to ask over HTTP/2 and reset at once (CVE-2023-44487).
//! A connection that does so more often than any honest caller is closed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use crate::bucket::Bucket;

/// Requests of one connection taken back, a second and at once.
const RATE: u64 = 100;
const BURST: u64 = 1_000;

/// Counts what a connection takes back.
#[derive(Clone)]
pub(super) struct Abandoned {
    bucket: Arc<Bucket>,
    /// Cancelled when it was too much.
    pub too_many: CancellationToken,
}

impl Abandoned {
    pub(super) fn new() -> Self {
        Abandoned { bucket: Arc::new(Bucket::new(RATE, BURST)), too_many: CancellationToken::new() }
    }
}

impl<S> Layer<S> for Abandoned {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, abandoned: self.clone() }
    }
}

/// A service whose requests are counted when they are dropped before their answer.
#[derive(Clone)]
pub(super) struct Counted<S> {
    inner: S,
    abandoned: Abandoned,
}

impl<S, R> Service<R> for Counted<S>
where
    S: Service<R>,
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        Answer { inner: self.inner.call(request), abandoned: Some(self.abandoned.clone()) }
    }
}

pub(super) struct Answer<F> {
    inner: F,
    /// Taken when it is answered.
    abandoned: Option<Abandoned>,
}

impl<F: Future + Unpin> Future for Answer<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = Pin::new(&mut self.inner).poll(cx);
        if answer.is_ready() {
            self.abandoned = None;
        }
        answer
    }
}

impl<F> Drop for Answer<F> {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.abandoned
            && abandoned.bucket.take().is_err()
        {
            abandoned.too_many.cancel();
        }
    }
}
