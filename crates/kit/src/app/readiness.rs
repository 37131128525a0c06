//! Whether the service can do its work, from the checks it declares. Asked every second in the background, so that a probe
//! costs nothing and a slow store cannot make the probe hang.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the checks run.
const INTERVAL: Duration = Duration::from_secs(1);
/// A check that takes longer is a failed one.
const CHECK_TIMEOUT: Duration = Duration::from_millis(900);
/// What /readyz says while nothing has been asked yet, or when the process drains.
const STARTING: &str = "starting";
const DRAINING: &str = "draining";

type Check = Box<dyn Fn() -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send + Sync>;

/// Everything that is not ready, by name, with a sentence; empty is ready.
pub(super) type Missing = BTreeMap<&'static str, String>;

pub(super) struct Readiness {
    checks: Mutex<Vec<(&'static str, Arc<Check>)>>,
    missing: watch::Sender<Missing>,
}

impl Default for Readiness {
    fn default() -> Self {
        let starting = Missing::from([(STARTING, "the checks have not run yet".to_owned())]);
        Readiness { checks: Mutex::default(), missing: watch::Sender::new(starting) }
    }
}

impl Readiness {
    pub(super) fn add<F, Fut>(&self, name: &'static str, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let check: Check = Box::new(move || Box::pin(check()));
        self.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::new(check)));
    }

    pub(super) fn missing(&self) -> Missing {
        self.missing.borrow().clone()
    }

    /// Tells who wants to follow: gRPC health does.
    pub(super) fn watch(&self) -> watch::Receiver<Missing> {
        self.missing.subscribe()
    }

    /// Asks every check, again and again, until the process drains; from then on nothing is ready.
    pub(super) async fn keep_asking(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.ask().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
        self.tell(Missing::from([(DRAINING, "the process is stopping".to_owned())]));
    }

    async fn ask(&self) {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers = join_all(checks.iter().map(|(name, check)| async move {
            match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((*name, format!("{error:#}"))),
                Err(_) => Some((*name, format!("no answer in {} ms", CHECK_TIMEOUT.as_millis()))),
            }
        }));
        self.tell(answers.await.into_iter().flatten().collect());
    }

    fn tell(&self, missing: Missing) {
        self.missing.send_if_modified(|told| {
            let changed = *told != missing;
            if changed {
                tracing::info!(missing = ?missing, "{}", if missing.is_empty() { "ready" } else { "not ready" });
                *told = missing;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_check_that_fails_or_hangs_is_named_and_the_rest_is_not() {
        let readiness = Readiness::default();
        readiness.add("good", || async { Ok(()) });
        readiness.add("bad", || async { anyhow::bail!("connection refused") });
        readiness.add("slow", std::future::pending);
        assert!(readiness.missing().contains_key(STARTING));

        readiness.ask().await;

        let missing = readiness.missing();
        assert_eq!(missing.keys().collect::<Vec<_>>(), [&"bad", &"slow"]);
        assert_eq!(missing["bad"], "connection refused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_process_is_not_ready() {
        let readiness = Readiness::default();
        let stop = CancellationToken::new();
        stop.cancel();
        readiness.keep_asking(stop).await;
        assert!(readiness.missing().contains_key(DRAINING));
    }
}
