//! Where a drill kills the process: between the steps whose order matters. Only debug builds can; in a release build there is
//! nothing here and `crash_at` is an unknown setting.

use crate::domain::Operation;

/// The moment just after…
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// …our intention was committed; the provider has not been called.
    Intent,
    /// …the provider acted; we have written nothing.
    Provider,
    /// …the outcome was committed; the caller has no answer.
    Commit,
}

/// The one point at which this process aborts, if any.
#[derive(Debug, Clone, Default)]
pub struct Crash {
    #[cfg(debug_assertions)]
    at: Option<String>,
}

#[cfg(debug_assertions)]
impl Crash {
    /// Reads `crash_at`.
    pub fn read(reader: &mut stampede_kit::config::Reader) -> Self {
        let at: Option<String> = reader.optional("crash_at");
        if at.as_deref().is_some_and(|at| !points().any(|point| point == at)) {
            reader.refuse("crash_at", format!("must be one of {}", points().collect::<Vec<_>>().join(", ")));
        }
        Self { at }
    }

    pub(crate) fn at(&self, stage: Stage, operation: Operation) {
        if self.at.as_deref() == Some(name(stage, operation)) {
            tracing::error!(point = name(stage, operation), "aborting, as this drill asks");
            std::process::abort();
        }
    }
}

#[cfg(not(debug_assertions))]
impl Crash {
    /// There is nothing to read.
    pub fn read(_: &mut stampede_kit::config::Reader) -> Self {
        Self {}
    }

    pub(crate) fn at(&self, _: Stage, _: Operation) {}
}

#[cfg(debug_assertions)]
fn points() -> impl Iterator<Item = &'static str> {
    let operations = [Operation::Authorize, Operation::Capture, Operation::Void, Operation::Refund];
    let stages = [Stage::Intent, Stage::Provider, Stage::Commit];
    operations.into_iter().flat_map(move |operation| stages.map(|stage| name(stage, operation)))
}

#[cfg(debug_assertions)]
const fn name(stage: Stage, operation: Operation) -> &'static str {
    match (stage, operation) {
        (Stage::Intent, Operation::Authorize) => "after_intent",
        (Stage::Provider, Operation::Authorize) => "after_provider_authorize",
        (Stage::Commit, Operation::Authorize) => "after_authorize_commit",
        (Stage::Intent, Operation::Capture) => "after_capture_intent",
        (Stage::Provider, Operation::Capture) => "after_provider_capture",
        (Stage::Commit, Operation::Capture) => "after_capture_commit",
        (Stage::Intent, Operation::Void) => "after_void_intent",
        (Stage::Provider, Operation::Void) => "after_provider_void",
        (Stage::Commit, Operation::Void) => "after_void_commit",
        (Stage::Intent, Operation::Refund) => "after_refund_intent",
        (Stage::Provider, Operation::Refund) => "after_provider_refund",
        (Stage::Commit, Operation::Refund) => "after_refund_commit",
    }
}
