//! A process from its first line to its last: settings, telemetry, the service, the drain, the exit code.
//! It never restarts anything: a process that failed ends, and whoever started it starts it again.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Problems, Reader};
use crate::{App, task, telemetry};

/// The process could not do what it was started for.
const FAILED: u8 = 1;
/// The settings must be put right first: starting again would end here again.
const MISCONFIGURED: u8 = 2;
/// What is left of the runtime after the drain gets this long.
const RUNTIME_END_WITHIN: Duration = Duration::from_secs(1);

/// Runs a service: `app` wires it, and it serves until SIGTERM or SIGINT, then drains.
pub fn run<C>(
    service: &'static str,
    read: fn(&mut Reader) -> Result<C, Problems>,
    app: impl AsyncFnOnce(C) -> anyhow::Result<App>,
) -> ExitCode {
    process(service, read, async move |config, stop: CancellationToken| {
        let app = tokio::select! {
            app = app(config) => app?,
            // Nothing serves yet, so there is nothing to drain.
            () = stop.cancelled() => return Ok(()),
        };
        app.serve(stop.cancelled_owned()).await
    })
}

/// Runs any program that has settings, telemetry and an end: `main` returns when its work is done or soon after `stop`.
pub fn process<C>(
    service: &'static str,
    read: fn(&mut Reader) -> Result<C, Problems>,
    main: impl AsyncFnOnce(C, CancellationToken) -> anyhow::Result<()>,
) -> ExitCode {
    let mut reader = Reader::from_process(service);
    // Read here too, so that a program without a server may be told how to log.
    let settings = telemetry::Settings::read(&mut reader);
    let config = match read(&mut reader) {
        Ok(config) => config,
        Err(problems) => {
            complain(service, &problems);
            return ExitCode::from(MISCONFIGURED);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(service, &error);
            return ExitCode::from(FAILED);
        }
    };
    // One TLS provider for everything in the process; an earlier installation is this same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ended = runtime.block_on(async {
        let telemetry = telemetry::init(service, &settings).inspect_err(|error| complain(service, error))?;
        let outcome = Box::pin(watched(config, main)).await;
        match &outcome {
            Ok(()) => tracing::info!("ended"),
            Err(error) => tracing::error!(error = format!("{error:#}"), "failed"),
        }
        anyhow::Ok((telemetry, outcome))
    });
    let code = match ended {
        Ok((telemetry, outcome)) => {
            // Outside `block_on` and before the runtime ends: flushing blocks, and the exporters need the runtime.
            telemetry.flush();
            if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(_) => ExitCode::from(FAILED),
    };
    runtime.shutdown_timeout(RUNTIME_END_WITHIN);
    code
}

async fn watched<C>(
    config: C,
    main: impl AsyncFnOnce(C, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    // Before anything can take long: a signal during the start must not meet the default handler.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    task::spawn("signals", watch(signals, stop.clone()));
    main(config, stop).await
}

async fn watch((mut terminate, mut interrupt): (Signal, Signal), stop: CancellationToken) {
    next(&mut terminate, &mut interrupt).await;
    tracing::info!("asked to stop: draining");
    stop.cancel();
    next(&mut terminate, &mut interrupt).await;
    tracing::warn!("asked to stop again: leaving at once");
    std::process::exit(i32::from(FAILED));
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// For what goes wrong before there is a log.
fn complain(service: &str, complaint: &dyn std::fmt::Display) {
    // With nowhere to write there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{service}: {complaint:#}");
}
