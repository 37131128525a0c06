//! The contract's own checks: lint, format, and no change that breaks a client of the merge base.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::{succeed, tools};

/// `buf lint` and `buf format`.
pub fn lint(root: &Path) -> anyhow::Result<()> {
    let buf = tools::buf(root)?;
    let proto = root.join("proto");
    succeed(Command::new(&buf).arg("lint").current_dir(&proto))?;
    succeed(
        Command::new(&buf)
            .args(["format", "--diff", "--exit-code", "--path", "stampede"])
            .current_dir(&proto),
    )
}

/// `buf breaking` against the merge base with main; on main itself against the commit before.
pub fn breaking(root: &Path) -> anyhow::Result<()> {
    let Some(base) = base(root)? else {
        println!("no earlier commit holds the contract: nothing to break");
        return Ok(());
    };
    let against = root.join(".dev/contract-base");
    if against.exists() {
        std::fs::remove_dir_all(&against).context("cannot clear .dev/contract-base")?;
    }
    std::fs::create_dir_all(&against)?;
    unpack(root, &base, &against)?;
    println!("against {base}");
    let buf = tools::buf(root)?;
    succeed(
        Command::new(buf)
            .args(["breaking", "--against"])
            .arg(against.join("proto"))
            .current_dir(root.join("proto")),
    )
}

fn base(root: &Path) -> anyhow::Result<Option<String>> {
    let head = git(root, &["rev-parse", "HEAD"])?.context("this is no git checkout")?;
    let merge_base = match git(root, &["merge-base", "HEAD", "origin/main"])? {
        Some(base) => Some(base),
        None => git(root, &["merge-base", "HEAD", "main"])?,
    };
    let base = match merge_base {
        Some(base) if base != head => Some(base),
        Some(_) | None => git(root, &["rev-parse", "--verify", "--quiet", "HEAD^1"])?,
    };
    let Some(base) = base else { return Ok(None) };
    let holds = git(root, &["ls-tree", "--name-only", &base, "proto/buf.yaml"])?;
    Ok(holds.filter(|listed| !listed.is_empty()).map(|_| base))
}

/// The command's output, or nothing when git says no.
fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = Command::new("git").args(arguments).current_dir(root).output().context("git is missing")?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}

fn unpack(root: &Path, base: &str, into: &Path) -> anyhow::Result<()> {
    let mut archive = Command::new("git")
        .args(["archive", base, "proto"])
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("git is missing")?;
    let stdout = archive.stdout.take().context("git archive gave no output")?;
    let unpacked =
        Command::new("tar").arg("-x").current_dir(into).stdin(stdout).status().context("tar is missing")?;
    if !archive.wait()?.success() || !unpacked.success() {
        bail!("the contract of {base} could not be read");
    }
    Ok(())
}
