//! The place that starts tasks; `workers` starts those of connections. Every task but those of connections has a name, which its log lines carry; its end is its handle's.
//! It never hides a panic: the handle reports it and the panic hook has logged it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// The span that names a task. Telemetry keeps it out of traces, where it would never end.
pub(crate) const SPAN: &str = "task";

/// The pause after a first failure; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_AT_MOST: Duration = Duration::from_secs(5);

/// Starts `future` on the current runtime under `name`.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts a task")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.instrument(tracing::info_span!(parent: None, "task", task = name)))
}

/// Starts a task that is polled for nearly every message: entering the span of a name, again and again, would cost more than the name tells.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts a task")]
pub fn spawn_unnamed<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// Work that is carried to its end even when its caller goes away. It runs in the caller's own task; only what is left when
/// the caller drops it becomes a task of its own, under `name` and in the caller's span.
pub fn carried<F>(name: &'static str, work: F) -> Carried<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Carried { name, rest: Some(Box::pin(work)), begun: false }
}

/// What [`carried`] gives. Work that was never begun is not begun by dropping it.
pub struct Carried<T: Send + 'static> {
    name: &'static str,
    rest: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: bool,
}

impl<T: Send + 'static> Future for Carried<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out meanwhile: work that panics is over.
        let mut rest = self.rest.take().expect("it is not polled after its end");
        self.begun = true;
        let polled = rest.as_mut().poll(cx);
        if polled.is_pending() {
            self.rest = Some(rest);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Carried<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && self.begun
            && tokio::runtime::Handle::try_current().is_ok()
        {
            spawn(self.name, rest.instrument(Span::current()));
        }
    }
}

/// Waits before a retry, `failures` of which have been before; at once over when `stop` comes.
pub(crate) async fn back_off(failures: u32, stop: &CancellationToken) {
    let _ = stop.run_until_cancelled(tokio::time::sleep(pause_after(failures))).await;
}

/// A random time between half and the whole of the doubled pause, so that those who failed together return apart.
pub(crate) fn pause_after(failures: u32) -> Duration {
    let pause = PAUSE.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(PAUSE_AT_MOST);
    pause.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn carried_work_ends_although_its_caller_went_away() {
        let (go, gone) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut work = carried("test", async move {
            gone.await.ok();
            tell.send(7).ok();
        });
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        go.send(()).ok();
        assert_eq!(told.await, Ok(7));
    }

    #[tokio::test]
    async fn carried_work_that_was_never_begun_is_not_begun_by_dropping_it() {
        let (tell, told) = oneshot::channel();
        drop(carried("test", async move { tell.send(7).ok() }));
        assert!(told.await.is_err());
    }

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        assert!(pause_after(0) <= PAUSE);
        assert!(pause_after(60) <= PAUSE_AT_MOST && pause_after(60) >= PAUSE_AT_MOST / 2);
        assert!((0..20).map(|_| pause_after(9)).collect::<std::collections::HashSet<_>>().len() > 1);
    }
}
