//! curl: a read, a refusal, and the stock feed as server-sent events and as lines.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Called, answers, output};
use crate::terminal::say;

/// curl leaves a feed after this many seconds; the first message comes at once.
const FEED_SECONDS: &str = "2";
const ANSWER_SECONDS: &str = "20";
/// curl's own exit code when the time is over.
const TIME_IS_OVER: i32 = 28;

pub(super) fn run(called: &Called) -> anyhow::Result<()> {
    ensure!(answers("curl"), "curl is missing (Debian: apt-get install curl)");
    let stock = format!("/v1/stock/{}", called.sku);
    let answer: Value = serde_json::from_str(&output(&mut curl(called, &stock, ANSWER_SECONDS), "curl")?)?;
    let levels = answer["levels"].as_array().context("the answer has no levels")?;
    ensure!(!levels.is_empty(), "{stock} has no levels");
    say(format!("  REST: GET {stock}: {} levels, {} free on the first", levels.len(), levels[0]["free"]));
    refusal(called)?;
    let watch = format!("/v1/stock:watch?skuIds={}", called.sku);
    let events = feed(called, &watch, "text/event-stream")?;
    let event = events.lines().find_map(|line| line.strip_prefix("data: ")).context("no event came")?;
    let id = events.lines().any(|line| line.starts_with("id: "));
    say(format!("  SSE: {}, with an id: {id}", kind(event)?));
    let lines = feed(called, &watch, "application/x-ndjson")?;
    say(format!("  NDJSON: {}", kind(lines.lines().next().context("no line came")?)?));
    Ok(())
}

fn refusal(called: &Called) -> anyhow::Result<()> {
    let mut curl = curl(called, "/v1/orders/no-uuid", ANSWER_SECONDS);
    let told = output(curl.args(["--write-out", "\n%{http_code}"]), "curl")?;
    let (body, status) = told.rsplit_once('\n').context("curl wrote no status")?;
    let body: Value = serde_json::from_str(body).context("the refusal is not JSON")?;
    let details = body["details"].as_array().context("the refusal has no details")?;
    let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
    ensure!((status, reason) == ("400", "INVALID_ARGUMENT"), "the refusal is {status} {reason}");
    let violation = details.iter().find_map(|detail| detail["fieldViolations"].get(0));
    let violation = violation.context("the refusal names no field")?;
    say(format!("  refused: {status} {reason}, {} {}", violation["field"], violation["description"]));
    Ok(())
}

/// What came of a feed until curl's time was over.
fn feed(called: &Called, path: &str, media_type: &str) -> anyhow::Result<String> {
    let mut curl = curl(called, path, FEED_SECONDS);
    let output = curl.args(["--no-buffer", "--header"]).arg(format!("Accept: {media_type}")).output()?;
    match output.status.code() {
        Some(TIME_IS_OVER) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(_) | None => bail!("the feed ended early: {}", String::from_utf8_lossy(&output.stdout)),
    }
}

fn kind(message: &str) -> anyhow::Result<String> {
    let message: Value = serde_json::from_str(message).context("the message is not JSON")?;
    ensure!(message["snapshot"].is_object(), "the feed does not begin with a snapshot: {message}");
    Ok(format!("a snapshot at sequence {}", message["sequence"].as_str().unwrap_or_default()))
}

fn curl(called: &Called, path: &str, seconds: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", seconds, "--header"])
        .arg(format!("Authorization: Bearer {}", called.token))
        .arg(format!("{}{path}", called.gateway))
        .stdin(Stdio::null());
    curl
}
