//! Checkers that come from package registries, pinned and installed on first use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::succeed;

const BUF_VERSION: &str = "1.75.0";
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The `buf` binary, from the npm package that carries it.
pub fn buf(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join(".dev/tools/buf");
    let binary = folder.join("node_modules/.bin/buf");
    let stamp = folder.join("version");
    if binary.exists() && std::fs::read_to_string(&stamp).is_ok_and(|v| v == BUF_VERSION) {
        return Ok(binary);
    }
    if !answers("npm") {
        bail!("buf comes from npm, which is missing: install Node.js with npm (Debian: apt-get install npm)");
    }
    std::fs::create_dir_all(&folder).context("cannot make .dev/tools/buf")?;
    println!("installing buf {BUF_VERSION}");
    let package = format!("@bufbuild/buf@{BUF_VERSION}");
    succeed(
        Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix"])
            .arg(&folder)
            .arg(&package)
            .stdout(Stdio::null()),
    )?;
    std::fs::write(&stamp, BUF_VERSION)?;
    Ok(binary)
}

/// `cargo deny`, built once for this machine. A debug build: it checks a lock file, and building it is the cost.
pub fn cargo_deny(root: &Path) -> anyhow::Result<()> {
    let has = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|o| o.status.success() && String::from_utf8_lossy(&o.stdout).contains(CARGO_DENY_VERSION));
    if has {
        return Ok(());
    }
    println!("installing cargo-deny {CARGO_DENY_VERSION}");
    let arguments =
        ["install", "--quiet", "--debug", "--locked", "cargo-deny", "--version", CARGO_DENY_VERSION];
    succeed(Command::new("cargo").args(arguments).current_dir(root))
}

fn answers(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}
