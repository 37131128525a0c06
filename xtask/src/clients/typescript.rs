//! Clients in TypeScript (`xtask/clients`): generated from the contract, checked and built under `.dev/tools`, run by Node.js.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{Called, answers, output};
use crate::ci::{succeed, tools};
use crate::terminal::{Step, say};

/// Older ones have no fetch that streams.
const NODE_MAJOR: u32 = 20;
/// What Debian and others call the browser.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// What `npm ci` installs is decided by these.
const PINNED: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
const SOURCES: [&str; 2] = ["tsconfig.json", "buf.gen.yaml"];

/// Clients that are ready to run.
pub(super) struct Built {
    folder: PathBuf,
}

/// Installs, generates, checks the types and builds.
pub(super) fn build(root: &Path) -> anyhow::Result<Built> {
    need_node()?;
    let (from, folder) = (root.join("xtask/clients"), root.join(".dev/tools/clients"));
    std::fs::create_dir_all(folder.join("src")).context("cannot make .dev/tools/clients")?;
    install(&from, &folder)?;
    for name in SOURCES {
        copy(&from.join(name), &folder.join(name))?;
    }
    for source in std::fs::read_dir(from.join("src"))? {
        let source = source?;
        copy(&source.path(), &folder.join("src").join(source.file_name()))?;
    }
    let step = Step::begin("The contract as TypeScript");
    let mut generate = Command::new(tools::buf(root)?);
    succeed(
        generate
            .arg("generate")
            .arg(root.join("proto"))
            .args(["--template", "buf.gen.yaml"])
            .current_dir(&folder),
    )?;
    output(
        Command::new("node_modules/.bin/tsc").args(["-p", "."]).current_dir(&folder),
        "the TypeScript compiler",
    )?;
    step.done("generated, checked, built");
    Ok(Built { folder })
}

impl Built {
    /// Runs one of the clients; it prints what it saw.
    pub(super) fn run(&self, name: &str, called: &Called) -> anyhow::Result<()> {
        let browser = BROWSERS.into_iter().find(|browser| answers(browser));
        if name == "browser" && browser.is_none() {
            bail!("EventSource is tried in Chromium, which is missing (Debian: apt-get install chromium)");
        }
        let mut node = Command::new("node");
        node.arg(format!("out/src/{name}.js"))
            .current_dir(&self.folder)
            .env("GATEWAY", &called.gateway)
            .env("TOKEN", &called.token)
            .env("SKU", called.sku)
            .env("CHROMIUM", browser.unwrap_or_default());
        output(&mut node, name)?.lines().for_each(|line| say(format!("  {line}")));
        Ok(())
    }
}

fn need_node() -> anyhow::Result<()> {
    let told = Command::new("node").arg("--version").output();
    let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
    let major = told.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE_MAJOR) || !answers("npm") {
        bail!("the TypeScript clients need Node.js {NODE_MAJOR} or later with npm, which is missing");
    }
    Ok(())
}

/// Exactly what the lock file names; nothing where that is installed already.
fn install(from: &Path, folder: &Path) -> anyhow::Result<()> {
    let stamp = folder.join("installed");
    let wanted = PINNED.iter().map(|name| std::fs::read_to_string(from.join(name)));
    let wanted = wanted.collect::<Result<String, _>>().context("xtask/clients is not complete")?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let step = Step::begin("Packages for the TypeScript clients");
    for name in PINNED {
        copy(&from.join(name), &folder.join(name))?;
    }
    let mut npm = Command::new("npm");
    output(npm.args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder), "npm")?;
    std::fs::write(&stamp, wanted)?;
    step.done("");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
