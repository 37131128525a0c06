//! Background tasks with names. The first that fails is told; nobody restarts it, because the process starts again from what
//! is durable and a half-alive service is worse than a dead one.

use std::future::Future;
use std::pin::Pin;

use anyhow::Context as _;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::task;

type Run =
    Box<dyn FnOnce(CancellationToken) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send>;

#[derive(Default)]
pub(super) struct Tasks(Vec<(&'static str, Run)>);

/// Tasks that run. Dropping it leaves them running: wait for [`Running::end`].
pub(super) struct Running {
    handles: FuturesUnordered<Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>>,
}

impl Tasks {
    pub(super) fn add<F, Fut>(&mut self, name: &'static str, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.0.push((name, Box::new(move |stop| Box::pin(run(stop)))));
    }

    pub(super) fn start(self, stop: &CancellationToken) -> Running {
        let handles = FuturesUnordered::new();
        for (name, run) in self.0 {
            let handle = task::spawn(name, run(stop.clone()));
            let ended: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                let result = handle.await.with_context(|| format!("the task {name} panicked"))?;
                result.with_context(|| format!("the task {name} failed"))
            });
            handles.push(ended);
        }
        Running { handles }
    }
}

impl Running {
    /// Waits until every task has ended, or one has failed.
    pub(super) async fn end(&mut self) -> anyhow::Result<()> {
        while let Some(result) = self.handles.next().await {
            result?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_is_told_by_name() {
        let mut tasks = Tasks::default();
        tasks.add("waits", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.add("fails", |_| async { anyhow::bail!("no more room") });
        let error = tasks.start(&CancellationToken::new()).end().await.unwrap_err();
        assert_eq!(format!("{error:#}"), "the task fails failed: no more room");
    }

    #[tokio::test]
    async fn tasks_that_are_told_to_stop_end_well() {
        let mut tasks = Tasks::default();
        tasks.add("waits", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        let stop = CancellationToken::new();
        let mut running = tasks.start(&stop);
        stop.cancel();
        running.end().await.unwrap();
    }
}
