//! `fuzz`: the parsers that meet strangers, fed with damaged input for as long as asked. The targets live with the crate
//! (crates/transcode/tests/it/fuzz.rs); this only starts them. Nothing of it is built by the ordinary workspace build.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::home;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["test", "--quiet", "-p", "stampede-transcode", "--test", "it", "--"])
        .args(["fuzz::for_as_long_as_asked", "--exact", "--nocapture"])
        .env("TRANSCODE_FUZZ_SECONDS", args.seconds.to_string())
        .current_dir(home::root())
        .status()
        .context("cargo could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
