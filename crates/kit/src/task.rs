//! The one place that starts a task. Every task has a name, which its log lines carry; its end is its handle's.
//! It never hides a panic: the handle reports it and the panic hook has logged it.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

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
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        assert!(pause_after(0) <= PAUSE);
        assert!(pause_after(60) <= PAUSE_AT_MOST && pause_after(60) >= PAUSE_AT_MOST / 2);
        assert!((0..20).map(|_| pause_after(9)).collect::<std::collections::HashSet<_>>().len() > 1);
    }
}
