//! `cargo xtask ci`: every check of the gate but the tests, each with its name and time. It installs the checkers it
//! needs and changes nothing in the tree.

mod contract;
pub(crate) mod tools;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};

type Check = fn(&Path) -> anyhow::Result<()>;

/// In the order of what fails fastest.
const CHECKS: &[(&str, Check)] = &[
    ("fmt", fmt),
    ("tidy", crate::tidy::run),
    ("buf lint", contract::lint),
    ("buf breaking", contract::breaking),
    ("openapi", crate::openapi::check),
    ("clippy", clippy),
    ("sqlx prepare --check", sqlx),
    ("docs", docs),
    ("bans and licences", deny),
];

/// Runs every check, or only those named.
///
/// # Errors
/// At least one check failed; all of them were run.
pub fn run(root: &Path, only: &[String]) -> anyhow::Result<()> {
    let known = |name: &String| CHECKS.iter().any(|(n, _)| n == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<_> = CHECKS.iter().map(|(n, _)| *n).collect();
        bail!("there is no check `{unknown}`; there are: {}", names.join(", "));
    }
    let mut failed = Vec::new();
    for (name, check) in CHECKS.iter().filter(|(n, _)| only.is_empty() || only.iter().any(|o| o == n)) {
        println!("== {name}");
        let began = Instant::now();
        let verdict = match check(root) {
            Ok(()) => "ok",
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(*name);
                "FAILED"
            }
        };
        println!("== {name}: {verdict} in {:.0} s", began.elapsed().as_secs_f64());
    }
    if !failed.is_empty() {
        bail!("these checks failed: {}", failed.join(", "));
    }
    Ok(())
}

fn fmt(root: &Path) -> anyhow::Result<()> {
    succeed(Command::new("cargo").args(["fmt", "--all", "--check"]).current_dir(root))
}

fn clippy(root: &Path) -> anyhow::Result<()> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    succeed(Command::new("cargo").args(arguments).current_dir(root))
}

fn docs(root: &Path) -> anyhow::Result<()> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    succeed(Command::new("cargo").args(arguments).env("RUSTDOCFLAGS", "-D warnings").current_dir(root))
}

fn sqlx(root: &Path) -> anyhow::Result<()> {
    let this = std::env::current_exe().context("xtask does not know its own path")?;
    succeed(Command::new(this).args(["db", "prepare", "--check"]).current_dir(root))
}

fn deny(root: &Path) -> anyhow::Result<()> {
    tools::cargo_deny(root)?;
    let arguments = ["deny", "--log-level", "error", "check", "bans", "licenses", "sources"];
    succeed(Command::new("cargo").args(arguments).current_dir(root))
}

/// Runs a command to its end, its output on ours.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed");
    }
    Ok(())
}
