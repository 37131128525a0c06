//! `mutants`: takes the guards of ledger and gate out, one at a time, and shows that the tests notice. It works on a copy of the
//! tree, never on the tree.

mod list;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::home;
use crate::servers::{self, Servers};
use crate::terminal::{Step, note, say};
use list::{ALL, Mutation};

/// The exit code by which nextest says that tests failed, and nothing else went wrong.
const TESTS_FAILED: i32 = 100;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only mutations with this word in their name.
    #[arg(long)]
    only: Option<String>,
}

/// What became of a mutation.
enum Verdict {
    Caught(BTreeSet<String>),
    Survived,
}

impl Verdict {
    fn said(&self) -> String {
        match self {
            Verdict::Caught(tests) => format!("caught by {} tests", tests.len()),
            Verdict::Survived => "SURVIVED".to_owned(),
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let dir = home::dev().join("mutants");
    let _held = home::lock(&dir)?;
    let chosen: Vec<&Mutation> = ALL
        .iter()
        .filter(|mutation| args.only.as_ref().is_none_or(|word| mutation.name.contains(word)))
        .collect();
    if chosen.is_empty() {
        bail!("no mutation has {:?} in its name", args.only.as_deref().unwrap_or_default());
    }
    let step = Step::begin("Servers for the tests");
    let servers = Servers::start(&dir, &step)?;
    step.done("");
    let judged = judge_all(&dir, &servers, &chosen);
    servers::stop(&dir)?;
    let survived = report(&judged?);
    if survived > 0 {
        bail!("{survived} of {} mutations survived", chosen.len());
    }
    Ok(())
}

fn judge_all<'a>(
    dir: &Path,
    servers: &Servers,
    chosen: &[&'a Mutation],
) -> anyhow::Result<Vec<(&'a Mutation, Verdict)>> {
    let tree = dir.join("tree");
    copy_tree(&tree)?;
    nothing_fails(dir, servers, chosen)?;
    let mut judged = Vec::new();
    for mutation in chosen {
        note(format!("  .. {}", mutation.name));
        let undo = apply(&tree, mutation)?;
        let verdict = test(dir, servers, mutation.tests).with_context(|| mutation.name);
        undo.iter().try_for_each(|(path, text)| restore(path, text.as_deref()))?;
        let verdict = verdict?;
        // Tests without their servers fail too, and prove nothing.
        if Servers::running(dir)?.is_none() {
            bail!("a server of the tests has ended; see {}", dir.join("logs").display());
        }
        note(format!("     {}", verdict.said()));
        judged.push((*mutation, verdict));
    }
    // What failed did so for the mutation's sake only if nothing fails now.
    nothing_fails(dir, servers, chosen)?;
    Ok(judged)
}

fn nothing_fails(dir: &Path, servers: &Servers, chosen: &[&Mutation]) -> anyhow::Result<()> {
    note("  .. the tests without a mutation");
    let everything: BTreeSet<&str> = chosen.iter().map(|mutation| mutation.tests).collect();
    let everything = everything.into_iter().collect::<Vec<_>>().join(" | ");
    match test(dir, servers, &everything)? {
        Verdict::Survived => Ok(()),
        Verdict::Caught(failed) => {
            bail!("these fail without any mutation: {}", failed.into_iter().collect::<Vec<_>>().join(", "))
        }
    }
}

/// Every file git knows, as it is in the tree now.
fn copy_tree(tree: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(home::root()).output();
    let listed = String::from_utf8(listed.context("cannot run git")?.stdout)?;
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot empty {}", tree.display()))?;
    }
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (home::root().join(name), tree.join(name));
        if from.is_file() {
            home::make(to.parent().context("a file lies in a folder")?)?;
            // Its time comes with it, so that what has not changed is not built again.
            let copied = Command::new("cp").arg("-p").arg(&from).arg(&to).status();
            if !copied.context("cannot run cp")?.success() {
                bail!("{} was not copied", from.display());
            }
        }
    }
    Ok(())
}

/// Files as they were: nothing for one that was not there.
type Undo = Vec<(PathBuf, Option<String>)>;

fn apply(tree: &Path, mutation: &Mutation) -> anyhow::Result<Undo> {
    let path = tree.join(mutation.file);
    let text = read(&path)?;
    if text.matches(mutation.old).count() != 1 {
        bail!("{:?} no longer applies to {}", mutation.name, mutation.file);
    }
    write(&path, &text.replace(mutation.old, mutation.new))?;
    let mut undo = vec![(path, Some(text))];
    undo.extend(describe(tree, mutation)?.into_iter().map(|path| (path, None)));
    // Cargo does not know that the macro read the migrations.
    if mutation.file.starts_with("migrations/") {
        let library = tree.join("crates/inventory/src/lib.rs");
        let text = read(&library)?;
        write(&library, &format!("{text}\n"))?;
        undo.push((library, Some(text)));
    }
    Ok(undo)
}

/// A changed query is described as the one it came from: it takes and gives the same.
fn describe(tree: &Path, mutation: &Mutation) -> anyhow::Result<Vec<PathBuf>> {
    let folder = tree.join(".sqlx");
    let (old, new) = (mutation.old.trim_end_matches('"'), mutation.new.trim_end_matches('"'));
    let mut made = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let mut described: Value = serde_json::from_str(&read(&entry?.path())?)?;
        let query = described["query"].as_str().unwrap_or_default();
        if !query.contains(old) {
            continue;
        }
        let query = query.replace(old, new);
        let hash = hex::encode(Sha256::digest(&query));
        described["query"] = Value::String(query);
        described["hash"] = Value::String(hash.clone());
        let path = folder.join(format!("query-{hash}.json"));
        write(&path, &serde_json::to_string_pretty(&described)?)?;
        made.push(path);
    }
    Ok(made)
}

fn restore(path: &Path, text: Option<&str>) -> anyhow::Result<()> {
    match text {
        Some(text) => write(path, text),
        None => fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display())),
    }
}

fn test(dir: &Path, servers: &Servers, filter: &str) -> anyhow::Result<Verdict> {
    let output = Command::new("cargo")
        .args([
            "nextest",
            "run",
            "--color",
            "never",
            "--no-fail-fast",
            "-p",
            "stampede-inventory",
            "-E",
            filter,
        ])
        .current_dir(dir.join("tree"))
        .env("CARGO_TARGET_DIR", dir.join("target"))
        // What is built once and thrown away needs no notes for the next time; they fill the disk.
        .env("CARGO_INCREMENTAL", "0")
        .envs(servers::test_variables(servers))
        .output()
        .context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Ok(Verdict::Survived),
        Some(TESTS_FAILED) => Ok(Verdict::Caught(failed(&said))),
        Some(_) | None => bail!("the tests do not run:\n{said}"),
    }
}

/// `FAIL [   0.2s] (1/4) stampede-inventory::it gate::a_test`
fn failed(said: &str) -> BTreeSet<String> {
    let is_failure =
        |line: &&str| ["FAIL [", "TIMEOUT [", "SIGABRT ["].iter().any(|word| line.contains(word));
    said.lines()
        .filter(is_failure)
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect()
}

/// Prints the table; how many survived.
fn report(judged: &[(&Mutation, Verdict)]) -> usize {
    for (mutation, verdict) in judged {
        say(format!("{:<62} {}", mutation.name, verdict.said()));
    }
    judged.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Survived)).count()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_once() {
        let said = "        PASS [   0.1s] (1/3) stampede-inventory::it a::b\n        FAIL [   0.2s] (2/3) stampede-inventory::it a::c\n\
                    Summary\n        FAIL [   0.2s] (2/3) stampede-inventory::it a::c\n     TIMEOUT [ 120.0s] (3/3) stampede-inventory a::d\n";
        assert_eq!(failed(said).into_iter().collect::<Vec<_>>(), ["a::c", "a::d"]);
    }
}
