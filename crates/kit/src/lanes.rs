//! Group commit apart: as in [`crate::batch`], while writers are busy the next batches gather; but requests say what they touch,
//! and two batches in flight never touch the same. What is held up at one place holds up nothing else: a batch takes what is there
//! at once and gives back what somebody else holds, and what was given back goes again by itself, patiently.
//! It never answers before the batch is done and never queues without a limit.

mod queue;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::batch::{Limits, Refused};
use crate::{metrics, task};
use queue::{Batch, Job, Queue};

/// A batch that takes longer waits for somebody; another one may run meanwhile.
const STUCK_AFTER: Duration = Duration::from_millis(50);
/// Batches that may wait for somebody at once, beside the writers. More of them hold up the rest.
const STUCK_AT_MOST: usize = 4;
/// Requests that touch several places and were given back, or found their places taken for too long, that wait at once.
const STRAGGLERS: usize = 2;

/// How a batch is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It touches many places: what somebody else holds is not waited for but given back.
    Brisk,
    /// All of it touches the same, and waits for it. Nothing may be given back.
    Patient,
}

/// What came of one request of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<T, R> {
    Done(R),
    /// Somebody else holds what it touches: it goes again. It may have learned what it touches.
    Held(T),
}

/// A handle to the queue; clones share it. When the last one is gone the writers finish what is queued and end.
pub struct Lanes<T, R> {
    shared: Arc<Shared<T, R>>,
    _open: Arc<Open<T, R>>,
}

struct Shared<T, R> {
    queue: Mutex<Queue<T, R>>,
    limits: Limits,
    /// What a request touches, each as a number; nothing when that is not known yet.
    touched: fn(&T) -> Vec<u64>,
    work: Notify,
    stragglers: Notify,
    /// Batches at work. One that is stuck gives its place away.
    places: Semaphore,
    sizes: Histogram<f64>,
}

/// Dropped with the last handle.
struct Open<T, R>(Arc<Shared<T, R>>);

impl<T, R> Drop for Open<T, R> {
    fn drop(&mut self) {
        self.0.queue().close();
        self.0.look();
    }
}

impl<T, R> Clone for Lanes<T, R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _open: self._open.clone() }
    }
}

impl<T, R> std::fmt::Debug for Lanes<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

impl<T: Send + 'static, R: Send + 'static> Lanes<T, R> {
    /// Starts the writers. `run` takes a batch and gives one outcome for each request, in the same order.
    pub fn start<F, Fut>(name: &'static str, limits: Limits, touched: fn(&T) -> Vec<u64>, run: F) -> Self
    where
        F: Fn(Vec<T>, Manner) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Vec<Outcome<T, R>>> + Send + 'static,
    {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::default()),
            limits,
            touched,
            work: Notify::new(),
            stragglers: Notify::new(),
            places: Semaphore::new(limits.writers.max(1)),
            sizes: metrics::histogram("batch_size", "Requests that shared one batch", "{request}"),
        });
        for _ in 0..limits.writers.max(1) + STUCK_AT_MOST {
            task::spawn(name, write(name, shared.clone(), run.clone()));
        }
        for _ in 0..STRAGGLERS {
            task::spawn(name, straggle(name, shared.clone(), run.clone()));
        }
        // A weak handle: being measured must not keep the writers waiting for more.
        let measured = Arc::downgrade(&shared);
        let label = [KeyValue::new("batch", name)];
        metrics::observed("batch_waiting", "Requests that wait for a writer", &label, move || {
            measured.upgrade().map_or(0, |shared| i64::try_from(shared.queue().waiting()).unwrap_or(i64::MAX))
        });
        Self { _open: Arc::new(Open(shared.clone())), shared }
    }

    /// Waits for this request's answer. A caller that gives up before its batch begins takes its request with it; later the batch
    /// goes on without it.
    pub async fn submit(&self, item: T) -> Result<R, Refused> {
        let (answer, answered) = oneshot::channel();
        let lanes = (self.shared.touched)(&item);
        let job = Job { item, lanes, answer, since: Instant::now(), span: Span::current() };
        let may_begin = {
            let mut queue = self.shared.queue();
            if queue.waiting() >= self.shared.limits.queue.max(1) {
                return Err(Refused::Full);
            }
            queue.push(job)
        };
        if may_begin {
            self.shared.work.notify_one();
        }
        answered.await.map_err(|_| Refused::Lost)
    }

    /// Requests waiting for a writer now.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting()
    }
}

impl<T, R> Shared<T, R> {
    /// There may be something to do, or nothing any more.
    fn look(&self) {
        self.work.notify_one();
        self.stragglers.notify_one();
    }

    /// The next batch; somebody else is woken for what is left.
    fn take(&self) -> Option<Batch<T, R>> {
        let mut queue = self.queue();
        let batch = queue.take(self.limits.batch.max(1));
        let (goes_on, has_stragglers) = (batch.is_some() && queue.goes_on(), queue.has_stragglers());
        drop(queue);
        if goes_on {
            self.work.notify_one();
        }
        if has_stragglers {
            self.stragglers.notify_one();
        }
        batch
    }

    /// Whether a writer may end; then the next one hears of it.
    fn is_over(&self) -> bool {
        let is_over = self.queue().is_over();
        if is_over {
            self.look();
        }
        is_over
    }

    fn finish(&self, lanes: &[u64]) {
        let mut queue = self.queue();
        queue.finish(lanes);
        // What is ready now is this writer's next batch.
        let (has_stragglers, is_over) = (queue.has_stragglers(), queue.is_over());
        drop(queue);
        if has_stragglers {
            self.stragglers.notify_one();
        }
        if is_over {
            self.look();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T, R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write<T, R, F, Fut>(name: &'static str, shared: Arc<Shared<T, R>>, run: F)
where
    F: Fn(Vec<T>, Manner) -> Fut,
    Fut: Future<Output = Vec<Outcome<T, R>>>,
{
    loop {
        let Ok(place) = shared.places.acquire().await else { return };
        let taken = shared.take();
        let Some(batch) = taken else {
            drop(place);
            if shared.is_over() {
                return;
            }
            shared.work.notified().await;
            continue;
        };
        let lanes = batch.lanes.clone();
        let mut place = Some(place);
        let mut running = std::pin::pin!(answer(name, &shared, batch, &run));
        tokio::select! {
            biased;
            () = &mut running => {}
            () = tokio::time::sleep(STUCK_AFTER) => {
                place.take();
                shared.work.notify_one();
                running.await;
            }
        }
        shared.finish(&lanes);
    }
}

async fn straggle<T, R, F, Fut>(name: &'static str, shared: Arc<Shared<T, R>>, run: F)
where
    F: Fn(Vec<T>, Manner) -> Fut,
    Fut: Future<Output = Vec<Outcome<T, R>>>,
{
    loop {
        let taken = shared.queue().take_straggler(shared.limits.batch.max(1));
        match taken {
            Some(batch) => {
                answer(name, &shared, batch, &run).await;
                shared.finish(&[]);
            }
            None if shared.is_over() => return,
            None => shared.stragglers.notified().await,
        }
    }
}

/// Runs a batch and gives each caller its own answer. When the batch panicked or its outcomes cannot be told apart, dropping the
/// senders tells every caller that its answer is lost.
async fn answer<T, R, F, Fut>(name: &'static str, shared: &Shared<T, R>, batch: Batch<T, R>, run: &F)
where
    F: Fn(Vec<T>, Manner) -> Fut,
    Fut: Future<Output = Vec<Outcome<T, R>>>,
{
    let Batch { jobs, manner, .. } = batch;
    // One request's batch belongs to its trace; a shared one belongs to none of them.
    let span = match jobs.as_slice() {
        [alone] => alone.span.clone(),
        [] | [_, _, ..] => Span::none(),
    };
    shared.sizes.record(jobs.len() as f64, &[KeyValue::new("batch", name)]);
    let (items, callers): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.item, (job.answer, job.since, job.span))).unzip();
    // The batch's state is dropped with the unwound future, so nothing half-done is seen again.
    let batch = async { run(items, manner).await };
    let outcomes = AssertUnwindSafe(batch.instrument(span)).catch_unwind().await;
    let Some(outcomes) = outcomes.ok().filter(|outcomes| outcomes.len() == callers.len()) else {
        tracing::error!(batch = name, asked = callers.len(), "batch panicked or answered wrongly");
        return;
    };
    for (outcome, (answer, since, span)) in outcomes.into_iter().zip(callers) {
        match outcome {
            // A caller that has gone has no use for it.
            Outcome::Done(result) => drop(answer.send(result)),
            Outcome::Held(_) if manner == Manner::Patient => {
                tracing::error!(batch = name, "a patient batch gave something back");
            }
            Outcome::Held(item) => {
                let lanes = (shared.touched)(&item);
                shared.queue().put_back(Job { item, lanes, answer, since, span });
            }
        }
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
