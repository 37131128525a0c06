//! While `up` stays in the foreground: the services' errors and warnings as they are written, and a word when a
//! process dies. It changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::stack::{NAMES, Stack};
use crate::terminal::note;

const POLL: Duration = Duration::from_millis(500);
/// More in one look than this is a storm, which belongs in the log file.
const LINES_MAX: usize = 20;

/// Shows errors until ctrl-c.
pub async fn until_interrupted(stack: &Stack) -> anyhow::Result<()> {
    let mut logs = open_at_end(stack)?;
    let mut dead: Vec<&str> = Vec::new();
    let mut looks = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => return interrupted.context("cannot wait for ctrl-c"),
            _ = looks.tick() => {}
        }
        for (name, log) in &mut logs {
            show(name, log);
        }
        for name in NAMES {
            if !dead.contains(&name) && !stack.is_alive(name) {
                note(format!("{name} has ended; see {}", stack.log(name).display()));
                dead.push(name);
            }
        }
    }
}

fn open_at_end(stack: &Stack) -> anyhow::Result<BTreeMap<&'static str, BufReader<File>>> {
    let mut logs = BTreeMap::new();
    for name in NAMES {
        let path = stack.log(name);
        let mut file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        file.seek(SeekFrom::End(0)).with_context(|| format!("cannot read {}", path.display()))?;
        logs.insert(name, BufReader::new(file));
    }
    Ok(logs)
}

fn show(name: &str, log: &mut BufReader<File>) {
    let mut shown = 0;
    let mut line = String::new();
    while log.read_line(&mut line).is_ok_and(|count| count > 0) {
        if let Some(trouble) = trouble(&line) {
            shown += 1;
            if shown <= LINES_MAX {
                note(format!("{name}: {trouble}"));
            }
        }
        line.clear();
    }
    if shown > LINES_MAX {
        note(format!("{name}: {} more", shown - LINES_MAX));
    }
}

/// The line when it is an error or a warning, or no JSON at all, which a panic is not.
fn trouble(line: &str) -> Option<String> {
    let line = line.trim();
    let Ok(entry) = serde_json::from_str::<Value>(line) else {
        return Some(line.to_owned()).filter(|line| !line.is_empty());
    };
    let level = entry["level"].as_str().unwrap_or_default();
    if level != "ERROR" && level != "WARN" {
        return None;
    }
    let message = entry["fields"]["message"].as_str().or(entry["message"].as_str());
    Some(format!("{level} {}", message.unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_panics_are_shown_and_the_rest_is_not() {
        assert_eq!(trouble(r#"{"level":"INFO","fields":{"message":"ready"}}"#), None);
        assert_eq!(trouble(r#"{"level":"ERROR","fields":{"message":"no"}}"#).as_deref(), Some("ERROR no"));
        assert_eq!(trouble("thread 'main' panicked at x").as_deref(), Some("thread 'main' panicked at x"));
        assert_eq!(trouble("\n"), None);
    }
}
