//! What is measured is built in release: a debug build of this program builds what it needs and hands over to itself.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

use crate::home;
use crate::terminal::Step;

/// Builds with these arguments and this program too, then runs the same command again in release.
pub fn again(what: &[&str]) -> anyhow::Result<ExitCode> {
    let step = Step::begin("building in release");
    let built = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--bins"])
        .args(what)
        .current_dir(home::root())
        .status()
        .context("cargo could not be started")?;
    if !built.success() {
        bail!("the release build failed");
    }
    step.done("");
    let status = Command::new(home::binaries(true).join("xtask"))
        .args(std::env::args_os().skip(1))
        .current_dir(home::root())
        .status()
        .context("the release build of xtask could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
