//! What is remembered about the servers of a folder (`servers.json`, its owner's alone): processes, ports, the
//! password made for them and where Postgres's data had to go.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::pids::Pid;

#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    /// By the server's name.
    pub entries: BTreeMap<String, Entry>,
    /// Of Postgres and Redis. Loopback is shared by every user of the machine; the data is not.
    pub password: String,
    /// Where Postgres's data lies.
    pub postgres_data: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Entry {
    pub pid: Pid,
    pub port: u16,
}

impl State {
    pub fn read(dir: &Path) -> anyhow::Result<State> {
        let path = path(dir);
        if !path.exists() {
            let password = format!("{:032x}", rand::random::<u128>());
            return Ok(State { entries: BTreeMap::new(), password, postgres_data: None });
        }
        read_json(&path)
    }

    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        write_json(&path(dir), self)
    }
}

pub fn remove(dir: &Path) -> anyhow::Result<()> {
    let path = path(dir);
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn path(dir: &Path) -> PathBuf {
    dir.join("servers.json")
}

/// Reads a state file of this program.
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; `cargo xtask down --wipe` starts afresh", path.display()))
}

/// Replaces a state file in one step; only its owner may read it.
pub fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("a state cannot be written as JSON")?;
    let beside = path.with_extension("new");
    fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
