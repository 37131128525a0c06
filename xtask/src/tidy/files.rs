//! How source files open, how long they get, and what each room of a service may hold.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Beyond this a file is two things.
const MAX_LINES: usize = 400;

/// What the top level may hold; anything else needs a room below.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".config",
    ".git",
    ".gitignore",
    ".sqlx",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "STYLE.md",
    "certs",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "load",
    "migrations",
    "proto",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "web",
    "xtask",
];

/// Left by tools, never committed.
const UNTRACKED: &[&str] = &[".dev", "target", "node_modules"];

/// Words that have no place in a room, and why. `domain/` is rules as functions of values.
const DOMAIN_NEVER: &[(&str, &str)] = &[
    (".await", "domain/ never awaits"),
    ("sqlx::", "domain/ holds no SQL"),
    ("tonic::", "domain/ knows no wire"),
    ("tracing::", "domain/ never logs"),
    ("rand::", "domain/ takes randomness as an argument"),
    ("Uuid::now_v7", "domain/ makes no ids"),
    ("Instant::now", "domain/ takes time as an argument"),
];

const SERVICES: &[&str] = &["order", "inventory", "payment"];

/// One source file, its path relative to the root.
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// Every Rust file of the workspace.
pub fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(root, &root.join(folder), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.push(Source { path: path.strip_prefix(root).unwrap_or(&path).to_owned(), text });
        }
    }
    Ok(())
}

/// One sentence for each thing out of order.
pub fn complaints(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(complaints_of).collect()
}

fn complaints_of(source: &Source) -> Vec<String> {
    let path = source.path.display();
    let mut said = Vec::new();
    if !source.text.starts_with("//!") {
        said.push(format!("{path} does not open with `//!`: what it is for, what it never does"));
    }
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        said.push(format!("{path} has {lines} lines, more than {MAX_LINES}: it is two things"));
    }
    if source.text.contains(concat!("#[", "ignore")) {
        said.push(format!("{path} ignores a test: mend it or remove it"));
    }
    said.extend(room_complaints(source));
    said
}

fn room_complaints(source: &Source) -> Vec<String> {
    let path = source.path.to_string_lossy().replace('\\', "/");
    let Some(service) = SERVICES.iter().find(|s| path.starts_with(&format!("crates/{s}/src/"))) else {
        return Vec::new();
    };
    let room = path.trim_start_matches(&format!("crates/{service}/src/")).to_owned();
    let code = without_tests_and_comments(&source.text);
    let mut said = Vec::new();
    if room.starts_with("domain/") || room == "domain.rs" {
        for (word, why) in DOMAIN_NEVER.iter().filter(|(word, _)| code.contains(word)) {
            said.push(format!("{path} has `{word}`: {why}"));
        }
    }
    let in_store = room.starts_with("store/") || room == "store.rs";
    if !in_store && code.contains("sqlx::query") {
        said.push(format!("{path} has SQL text: every statement lives in crates/{service}/src/store/"));
    }
    said
}

fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// What stands at the top and does not belong there.
pub fn top_level(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !TOP_LEVEL.contains(&name.as_str()) && !UNTRACKED.contains(&name.as_str()) {
            said.push(format!("`{name}` does not belong at the top level"));
        }
    }
    Ok(said)
}

/// The middle of the files' lengths, in lines.
pub fn median_lines(sources: &[Source]) -> usize {
    let mut lengths: Vec<usize> = sources.iter().map(|s| s.text.lines().count()).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, text: &str) -> Vec<String> {
        complaints(&[Source { path: path.into(), text: text.into() }])
    }

    #[test]
    fn a_file_opens_with_what_it_is_for() {
        assert_eq!(said("crates/kit/src/a.rs", "//! A.\n").len(), 0);
        assert!(said("crates/kit/src/a.rs", "fn a() {}\n")[0].contains("does not open"));
    }

    #[test]
    fn a_file_of_401_lines_is_two_things() {
        let text = "//! A.\n".to_owned() + &"\n".repeat(400);
        assert!(said("crates/kit/src/a.rs", &text)[0].contains("401 lines"));
    }

    #[test]
    fn rules_neither_await_nor_query() {
        assert!(said("crates/order/src/domain/a.rs", "//! A.\nx.await\n")[0].contains("never awaits"));
        assert!(said("crates/order/src/create.rs", "//! A.\nsqlx::query!()\n")[0].contains("store/"));
        assert_eq!(said("crates/order/src/store/a.rs", "//! A.\nsqlx::query!()\n").len(), 0);
        assert_eq!(said("crates/order/src/domain/a.rs", "//! A.\n// x.await\n").len(), 0);
    }
}
