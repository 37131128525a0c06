//! `test`: every test of the workspace against Postgres, Redis and NATS of its own, which are stopped afterwards.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use crate::home;
use crate::servers::{self, Servers};
use crate::terminal::{Step, note};

/// The end-to-end tests run the services' own binaries.
const STORIES: &str = "e2e";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Passed on to cargo-nextest: a filter, `-p <crate>`, `--no-fail-fast`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = home::test();
    let _held = home::lock(&dir)?;
    let runner = runner()?;
    let stories = !names_packages(&args.args) || args.args.iter().any(|argument| argument.contains(STORIES));
    if stories && !build_binaries()? {
        return Ok(ExitCode::FAILURE);
    }
    let step = Step::begin("Servers for the tests");
    let servers = Servers::start(&dir, &step)?;
    step.done("");
    let tested = Command::new("cargo")
        .args(&runner)
        // A package named by the caller stands for the workspace.
        .args(if names_packages(&args.args) { None } else { Some("--workspace") })
        .args(&args.args)
        .envs(servers::test_variables(&servers))
        .current_dir(home::root())
        .status();
    servers::stop(&dir)?;
    let status = tested.context("cannot run cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Builds what the stories start.
pub fn build_binaries() -> anyhow::Result<bool> {
    note("  .. cargo build --workspace --bins");
    let built =
        Command::new("cargo").args(["build", "--workspace", "--bins"]).current_dir(home::root()).status();
    Ok(built.context("cannot run cargo")?.success())
}

fn names_packages(args: &[String]) -> bool {
    args.iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package"))
}

/// `cargo nextest run`, installed when it is missing; `cargo test` where it cannot be.
fn runner() -> anyhow::Result<Vec<&'static str>> {
    let nextest = vec!["nextest", "run"];
    if quietly(&["nextest", "--version"])? {
        return Ok(nextest);
    }
    let step = Step::begin("Installing cargo-nextest (once)");
    if quietly(&["install", "cargo-nextest", "--locked"])? {
        step.done("");
        return Ok(nextest);
    }
    drop(step);
    note("  cargo-nextest could not be installed; using cargo test");
    Ok(vec!["test"])
}

fn quietly(arguments: &[&str]) -> anyhow::Result<bool> {
    let mut cargo = Command::new("cargo");
    let status = cargo.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(status.context("cannot run cargo")?.success())
}
