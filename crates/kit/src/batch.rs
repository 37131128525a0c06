//! Group commit: while a writer is busy with one batch, the next one gathers. There is no timer, so a request that is
//! alone waits for nobody, and one that meets a crowd shares its transaction. Every caller waits for its own answer.
//! It never answers before the batch is done and never queues without a limit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use opentelemetry::KeyValue;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{Instrument as _, Span};

use crate::{metrics, task};

/// How much may gather and how many batches may be in flight.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most requests in one batch; about 50 is the sweet spot of a Postgres insert.
    pub batch: usize,
    /// Batches in flight at once; two keep the store busy while one commits.
    pub writers: usize,
    /// Requests that may wait for a writer; one more is refused with `Full`.
    pub queue: usize,
}

/// Why there is no answer. With `Full` and `Stopped` nothing was done; after `Lost` nobody knows what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the queue is full")]
    Full,
    #[error("the batcher has stopped")]
    Stopped,
    /// The batch panicked or did not answer everybody. Repeat the request only if that is safe.
    #[error("the batch ended without an answer")]
    Lost,
}

/// A handle to the queue; clones share it. When the last one is gone the writers finish what is queued and end.
#[derive(Debug)]
pub struct Batcher<T, R> {
    queue: mpsc::Sender<Job<T, R>>,
}

#[derive(Debug)]
struct Job<T, R> {
    item: T,
    answer: oneshot::Sender<R>,
    span: Span,
}

impl<T, R> Clone for Batcher<T, R> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T: Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the writers. `run` takes a batch and gives one answer for each item, in the same order.
    pub fn start<F, Fut>(name: &'static str, limits: Limits, run: F) -> Self
    where
        F: Fn(Vec<T>) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Vec<R>> + Send + 'static,
    {
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..limits.writers.max(1) {
            task::spawn(name, write(name, limits.batch.max(1), jobs.clone(), run.clone()));
        }
        // A weak handle: being measured must not keep the writers waiting for more.
        let waiting = queue.downgrade();
        metrics::observed(
            "batch_waiting",
            "Requests that wait for a writer",
            &[KeyValue::new("batch", name)],
            move || waiting.upgrade().map_or(0, |queue| (queue.max_capacity() - queue.capacity()) as i64),
        );
        Self { queue }
    }

    /// Waits for this item's answer. A caller that gives up before its batch begins takes its item with it; later the
    /// batch goes on without it.
    pub async fn submit(&self, item: T) -> Result<R, Refused> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { item, answer, span: Span::current() }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Stopped,
        })?;
        answered.await.map_err(|_| Refused::Lost)
    }

    /// Requests waiting for a writer now.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

type Jobs<T, R> = Arc<Mutex<mpsc::Receiver<Job<T, R>>>>;

async fn write<T, R, F, Fut>(name: &'static str, batch: usize, jobs: Jobs<T, R>, run: F)
where
    F: Fn(Vec<T>) -> Fut + Clone,
    Fut: Future<Output = Vec<R>>,
{
    let sizes = metrics::histogram("batch_size", "Requests that shared one batch", "{request}");
    let labels = [KeyValue::new("batch", name)];
    let mut taken = Vec::with_capacity(batch);
    loop {
        // The lock is held only while receiving: one free writer gathers, the others are busy or wait for their turn.
        if jobs.lock().await.recv_many(&mut taken, batch).await == 0 {
            return;
        }
        taken.retain(|job| !job.answer.is_closed());
        // One request's batch belongs to its trace; a shared one belongs to none of them.
        let span = match taken.as_slice() {
            [] => continue,
            [alone] => alone.span.clone(),
            [_, _, ..] => Span::none(),
        };
        let (items, answers): (Vec<_>, Vec<_>) = taken.drain(..).map(|job| (job.item, job.answer)).unzip();
        sizes.record(items.len() as f64, &labels);
        let run = run.clone();
        answer(name, answers, async move { run(items).await }).instrument(span).await;
    }
}

/// Gives each caller its own answer. When the batch panicked or the answers cannot be told apart, dropping the senders
/// tells every caller that its answer is lost.
async fn answer<R>(name: &str, answers: Vec<oneshot::Sender<R>>, batch: impl Future<Output = Vec<R>>) {
    // The batch's state is dropped with the unwound future, so nothing half-done is seen again.
    match AssertUnwindSafe(batch).catch_unwind().await {
        Ok(results) if results.len() == answers.len() => {
            for (caller, result) in answers.into_iter().zip(results) {
                // A caller that has gone has no use for it.
                let _ = caller.send(result);
            }
        }
        Ok(results) => {
            tracing::error!(
                batch = name,
                asked = answers.len(),
                answered = results.len(),
                "batch answered wrongly"
            );
        }
        Err(_) => tracing::error!(batch = name, asked = answers.len(), "batch panicked"),
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
