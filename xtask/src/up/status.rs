//! `status`: one line for each process. It starts nothing and waits for nobody.

use std::process::ExitCode;

use crate::terminal::say;
use crate::{home, servers, stack};

/// Fails when anything is not ready, so that a script can ask.
pub fn run() -> anyhow::Result<ExitCode> {
    let dir = home::dev();
    let mut all = servers::status(&dir)?;
    all.extend(stack::status(&dir)?);
    for process in &all {
        say(process.line());
    }
    let ready = all.iter().all(|process| process.trouble.is_none());
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
