//! `openapi`: the contract's OpenAPI document as it stands in the repository, written anew, checked, or held against what
//! the running gateway does. The document comes from the gateway's own library; nothing is edited by hand.

mod differences;
mod probe;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::home;
use crate::terminal::say;

/// Where the document stands.
const DOCUMENT: &str = "docs/openapi.json";
/// More differences than this are only counted.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing: fail when the document is not the contract's, or not valid OpenAPI 3.1.
    #[arg(long, conflicts_with = "probe")]
    check: bool,
    /// Call the gateway that `up` started with requests made from the document, and compare its answers with it.
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    bounds: probe::Bounds,
}

/// Runs the command; a probe that found something is exit code 1.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let root = home::root();
    if args.probe {
        return probe::run(&root, &args.bounds);
    }
    if args.check {
        check(&root)?;
    } else {
        write(&root)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The document of the repository is the contract's, and valid.
///
/// # Errors
/// It differs (the first places are named), or the validator refuses it.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let path = path(root);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{DOCUMENT} is missing; `cargo xtask openapi` writes it"))?;
    let kept: Value = serde_json::from_str(&text).with_context(|| format!("{DOCUMENT} is not JSON"))?;
    let made = stampede_gateway::openapi_document()?;
    let found = differences::between(&kept, &made);
    if !found.is_empty() {
        let more = found.len().saturating_sub(SHOWN);
        let mut shown: Vec<_> = found.into_iter().take(SHOWN).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        bail!(
            "{DOCUMENT} is not the contract's; `cargo xtask openapi` writes it anew:\n  {}",
            shown.join("\n  ")
        );
    }
    validate(root, &path)?;
    say(format!("{DOCUMENT} is the contract's, and valid OpenAPI 3.1"));
    Ok(())
}

fn write(root: &Path) -> anyhow::Result<()> {
    let path = path(root);
    let made = stampede_gateway::openapi_document()?;
    let mut text = serde_json::to_string_pretty(&differences::sorted(&made))?;
    text.push('\n');
    if std::fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
        say(format!("{DOCUMENT} was the contract's already"));
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {DOCUMENT}"))?;
    say(format!("{DOCUMENT} written: {} paths", made["paths"].as_object().map_or(0, serde_json::Map::len)));
    Ok(())
}

fn path(root: &Path) -> PathBuf {
    root.join(DOCUMENT)
}

/// By a validator that shares no code with the writer.
fn validate(root: &Path, path: &Path) -> anyhow::Result<()> {
    let bin = python::environment(root, "openapi-spec-validator", include_str!("../openapi/validator.txt"))?;
    let output = Command::new(bin.join("openapi-spec-validator"))
        .args(["--schema", "3.1"])
        .arg(path)
        .output()
        .context("the validator could not be started")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{DOCUMENT} is not valid OpenAPI 3.1:\n{}", String::from_utf8_lossy(&said));
    }
    Ok(())
}
