//! A process from its start to its exit code. Each test starts itself again as the service and looks from outside.

#![expect(
    clippy::unwrap_used,
    reason = "everything here is a test; clippy knows only the functions that say so"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};

use stampede_kit as kit;
use stampede_kit::config::{Problems, Reader};
use tokio_util::sync::CancellationToken;

/// The harness passes `--skip` words on unread: this one says that the test is the service.
const AS_SERVICE: &str = "as-the-service-itself";

/// Starts this test again as its own service.
fn start(test: &str, variables: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--skip", AS_SERVICE])
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// In the service: runs it and leaves with its exit code. In the test: goes on.
fn serve_if_asked(main: impl AsyncFnOnce(String, CancellationToken) -> anyhow::Result<()>) {
    if std::env::args().any(|argument| argument == AS_SERVICE) {
        let code = kit::process("example", read, main);
        let codes = (0..=u8::MAX).find(|number| ExitCode::from(*number) == code);
        std::process::exit(codes.unwrap().into());
    }
}

fn read(reader: &mut Reader) -> Result<String, Problems> {
    let greeting = reader.required("greeting");
    reader.finish(|| greeting)
}

async fn until_stopped(greeting: String, stop: CancellationToken) -> anyhow::Result<()> {
    tracing::info!(greeting, "serving");
    stop.cancelled().await;
    Ok(())
}

/// Reads log lines until one has this message.
fn wait_for(log: &mut impl std::io::BufRead, message: &str) -> serde_json::Value {
    for line in log.lines() {
        let line = line.unwrap();
        if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line)
            && line["message"] == message
        {
            return line;
        }
    }
    panic!("{message:?} was never logged")
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn sigterm_ends_a_service_cleanly() {
    serve_if_asked(until_stopped);
    let mut child = start("sigterm_ends_a_service_cleanly", &[("EXAMPLE_GREETING", "hello")]);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = wait_for(&mut log, "serving");
    assert_eq!((&line["greeting"], &line["service"]), (&"hello".into(), &"example".into()));
    terminate(&child);
    wait_for(&mut log, "ended");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_a_service_that_does_not_stop() {
    serve_if_asked(async |greeting, stop: CancellationToken| {
        until_stopped(greeting, stop).await?;
        tracing::info!("stuck");
        std::future::pending().await
    });
    let mut child =
        start("a_second_sigterm_ends_a_service_that_does_not_stop", &[("EXAMPLE_GREETING", "hello")]);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    wait_for(&mut log, "serving");
    terminate(&child);
    wait_for(&mut log, "stuck");
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn wrong_settings_are_all_shown_and_end_in_2() {
    serve_if_asked(until_stopped);
    let variables = [("EXAMPLE_GRETING", "hello"), ("EXAMPLE_OTLP_SAMPLE", "7")];
    let mut child = start("wrong_settings_are_all_shown_and_end_in_2", &variables);
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    for name in ["EXAMPLE_GREETING", "EXAMPLE_GRETING", "EXAMPLE_OTLP_SAMPLE"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn a_service_that_fails_says_why_once_and_ends_in_1() {
    serve_if_asked(async |_, _| anyhow::bail!("no stock to sell"));
    let mut child =
        start("a_service_that_fails_says_why_once_and_ends_in_1", &[("EXAMPLE_GREETING", "hello")]);
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(text.matches("no stock to sell").count(), 1, "{text}");
}

#[test]
fn a_panic_in_a_task_is_a_log_line_and_a_receiver_that_is_away_costs_nothing() {
    serve_if_asked(async |_, _| {
        let panicked = kit::task::spawn("doomed", async { panic!("oh no") }).await;
        assert!(panicked.is_err());
        Ok(())
    });
    let variables = [("EXAMPLE_GREETING", "hello"), ("EXAMPLE_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let mut child =
        start("a_panic_in_a_task_is_a_log_line_and_a_receiver_that_is_away_costs_nothing", &variables);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = wait_for(&mut log, "panicked");
    assert_eq!((&line["panic"], &line["level"]), (&"oh no".into(), &"ERROR".into()));
    wait_for(&mut log, "ended");
    drop(log);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
