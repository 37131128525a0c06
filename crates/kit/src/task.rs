//! The one place that starts a task. Every task has a name, which its log lines carry; its end is its handle's.
//! It never hides a panic: the handle reports it and the panic hook has logged it.

use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

/// The span that names a task. Telemetry keeps it out of traces, where it would never end.
pub(crate) const SPAN: &str = "task";

/// Starts `future` on the current runtime under `name`.
#[expect(clippy::disallowed_methods, reason = "this is the one place that starts a task")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future.instrument(tracing::info_span!(parent: None, "task", task = name)))
}
