//! `fuzz`: the parsers that meet strangers, fed with damaged input for as long as asked, then with random contracts and messages nobody has
//! seen before. The targets live with the crate (crates/transcode/tests/it/); this only starts them, as the ordinary tests do with the
//! same input in every run.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use crate::home;
use crate::terminal::note;

/// Random inputs of each property.
const CASES: u32 = 10_000;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long each target of damage runs.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// The same seed makes the same random contracts and messages; without one they are new.
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let damaged = tests(&["fuzz::for_as_long_as_asked", "--exact"])
        .env("TRANSCODE_FUZZ_SECONDS", args.seconds.to_string())
        .status()
        .context("cargo could not be started")?;
    if !damaged.success() {
        return Ok(ExitCode::FAILURE);
    }
    let seed = args.seed.unwrap_or_else(rand::random).to_string();
    note(format!("random contracts and messages, --seed {seed}"));
    let random = tests(&["oracle::"])
        .env("PROPTEST_RNG_SEED", &seed)
        .env("PROPTEST_CASES", CASES.to_string())
        .status()
        .context("cargo could not be started")?;
    Ok(if random.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tests(which: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "-p", "stampede-transcode", "--test", "it", "--"]);
    command.args(which).arg("--nocapture").current_dir(home::root());
    command
}
