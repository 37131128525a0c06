//! `bench transcode`: the crate alone, on the order, beside typed serde and prost-reflect. The benchmark lives with the crate, so
//! that it is built without the rest of the house; this only starts it.

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
        .args(["bench", "--quiet", "-p", "stampede-transcode", "--bench", "order", "--"])
        .args(args.json.then_some("--json"))
        .current_dir(home::root())
        .status()
        .context("cargo could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
