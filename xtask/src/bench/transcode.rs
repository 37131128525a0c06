//! `bench transcode`: the crate alone, on the order, beside typed serde, pbjson and prost-reflect. The benchmark is a crate of
//! its own (crates/transcode-bench), so that it is built without the rest of the house; this only starts it.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::home;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print one JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--quiet", "-p", "stampede-transcode-bench", "--"])
        .args(args.json.then_some("--json"))
        .current_dir(home::root())
        .status()
        .context("cargo could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
