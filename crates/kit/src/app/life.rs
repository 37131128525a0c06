//! From the first connection to the last: serve, hear the signal, drain under a deadline, stop the tasks, end. Nothing here is
//! restarted; whatever is durable is in a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::End;
use super::front::Door;
use super::listener::Room;
use super::mutual::Mutual;
use super::tasks::Running;
use super::{App, front, health, listener};
use crate::stack::Stack;
use crate::task;
use crate::workers::Workers;

/// Operators and probes; more is somebody else.
const ADMIN_CONNECTIONS: usize = 64;
/// What tasks get at least, when the calls have used the whole drain.
const TASKS_GRACE: Duration = Duration::from_secs(1);

pub(super) async fn run(app: App, signal: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let (service, drain, address) = (app.config.service, app.config.drain, app.address());
    // Every way out of here, a dropped future too, closes what was opened.
    let (over, kill, tasks_stop) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let _guards = [over.clone().drop_guard(), kill.clone().drop_guard(), tasks_stop.clone().drop_guard()];
    let end = End { drain: app.stop.clone(), kill };
    let _draining = end.drain.clone().drop_guard();
    let open = TaskTracker::new();
    // What carries connections ends after them: whoever accepts holds it too.
    let workers =
        app.front.is_some().then(Workers::start).transpose().context("no threads for connections")?;
    let workers = workers.map(Arc::new);
    let room = Room { limit: app.config.limits.connections, open: open.clone(), workers: workers.clone() };
    let mut tasks = start(app, &end, room, &over, &tasks_stop)?;
    tracing::info!(service, %address, "serving");

    let failed = until(signal, &mut tasks).await;
    tracing::info!(service, drain_ms = drain.as_millis(), "draining");
    let deadline = Instant::now() + drain;
    end.drain.cancel();
    open.close();
    if timeout_at(deadline, open.wait()).await.is_err() {
        tracing::warn!(
            connections = open.len(),
            "the drain is over; connections that are still open are dropped"
        );
    }
    end.kill.cancel();
    tasks_stop.cancel();
    let stopped = timeout_at(deadline.max(Instant::now() + TASKS_GRACE), tasks.end()).await;
    match (failed, stopped) {
        (Err(failed), _) => Err(failed),
        (Ok(()), Ok(stopped)) => stopped,
        (Ok(()), Err(_)) => {
            tracing::warn!("a task did not stop in time; what it was doing is durable or will be done again");
            Ok(())
        }
    }
}

/// Starts everything. The admin listener lives until the very end, so that /readyz can say that the process drains.
fn start(
    app: App,
    end: &End,
    room: Room,
    over: &CancellationToken,
    tasks_stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let admin_router = app.admin_router();
    let App {
        config,
        contract,
        verifier,
        tls,
        listener,
        admin,
        mut routes,
        services,
        front,
        readiness,
        tasks,
        ..
    } = app;
    let reporter = health::add(&mut routes, contract.bytes())?;
    task::spawn("health", health::follow(reporter, services.clone(), readiness.watch()));
    let asking = end.drain.clone();
    task::spawn("readiness", async move { readiness.keep_asking(asking).await });
    serve_admin(admin, admin_router, over.clone());
    match front {
        Some(door) => serve_front(listener, room, door, end.clone()),
        None => {
            let stop = end.drain.clone();
            let stack = Stack::new(routes.routes(), &services, &contract, verifier, config.limits, stop);
            let environment = Arc::from(config.environment);
            let mutual = Mutual { tls, environment, stack, end: end.clone() };
            serve_calls(listener, room, mutual);
        }
    }
    Ok(tasks.start(tasks_stop))
}

/// Ends with the signal, or with the error of the first task that fails. Tasks that end well are no reason to stop.
async fn until(signal: impl Future<Output = ()>, tasks: &mut Running) -> anyhow::Result<()> {
    let failed = async {
        match tasks.end().await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    tokio::select! {
        () = signal => Ok(()),
        error = failed => {
            tracing::error!(error = format!("{error:#}"), "a task failed, so the process stops");
            Err(error)
        }
    }
}

fn serve_admin(admin: TcpListener, router: Router, over: CancellationToken) {
    let end = End { drain: over.clone(), kill: over.clone() };
    let Door { serve, refuse } = front::door(router, None);
    let serve = move |stream| serve(stream, end.clone());
    let room = Room { limit: ADMIN_CONNECTIONS, open: TaskTracker::new(), workers: None };
    task::spawn("admin", listener::accept(admin, room, over, (serve, refuse)));
}

fn serve_front(listener: TcpListener, room: Room, Door { serve, refuse }: Door, end: End) {
    let stop = end.drain.clone();
    let serve = move |stream| serve(stream, end.clone());
    task::spawn("listener", listener::accept(listener, room, stop, (serve, refuse)));
}

fn serve_calls(listener: TcpListener, room: Room, mutual: Mutual) {
    let stop = mutual.end.drain.clone();
    let serve = move |stream| mutual.clone().serve(stream);
    task::spawn("listener", listener::accept(listener, room, stop, (serve, drop)));
}
