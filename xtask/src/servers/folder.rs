//! What runs under a folder, whoever started it: shown, stopped, wiped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::state::{self, State};
use super::{Kind, Servers};

/// One server as `status` shows it.
#[derive(Debug)]
pub struct Status {
    pub name: String,
    pub pid: Option<u32>,
    pub port: Option<u16>,
    /// Why it is not ready, or nothing.
    pub trouble: Option<String>,
}

impl Status {
    /// As one line of a table.
    pub fn line(&self) -> String {
        let number = |value: Option<u32>| value.map_or("-".to_owned(), |value| value.to_string());
        let (pid, port) = (number(self.pid), number(self.port.map(u32::from)));
        let trouble = self.trouble.as_deref().unwrap_or("ready");
        format!("{:<14} pid {pid:<8} port {port:<6} {trouble}", self.name)
    }
}

/// How the servers under `dir` are.
pub fn status(dir: &Path) -> anyhow::Result<Vec<Status>> {
    let servers = Servers { dir: dir.to_owned(), state: State::read(dir)? };
    let one = |kind: &Kind| {
        let alive = servers.is_alive(*kind);
        let entry = servers.state.entries.get(kind.name());
        let trouble = match alive {
            true => servers.probe(*kind).err().map(|error| format!("{error:#}")),
            false => Some("not running".to_owned()),
        };
        Status {
            name: kind.name().to_owned(),
            pid: entry.filter(|_| alive).map(|entry| entry.pid.pid),
            port: entry.map(|entry| entry.port),
            trouble,
        }
    };
    Ok(Kind::ALL.iter().map(one).collect())
}

/// Stops what runs under `dir`; says which servers did.
pub fn stop(dir: &Path) -> anyhow::Result<Vec<&'static str>> {
    let mut servers = Servers { dir: dir.to_owned(), state: State::read(dir)? };
    let mut stopped = Vec::new();
    for kind in Kind::ALL {
        if servers.is_alive(kind) {
            servers.stop_one(kind)?;
            stopped.push(kind.name());
        }
    }
    Ok(stopped)
}

/// Stops the servers under `dir` and removes their data, wherever it had to be put.
pub fn wipe(dir: &Path) -> anyhow::Result<()> {
    stop(dir)?;
    let state = State::read(dir)?;
    let elsewhere = state.postgres_data.iter().map(PathBuf::as_path);
    let own = Kind::ALL.map(|kind| dir.join(kind.name()));
    for folder in own.iter().map(PathBuf::as_path).chain(elsewhere) {
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    state::remove(dir)
}

/// The variables by which tests find the servers.
pub fn test_variables(servers: &Servers) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("TEST_POSTGRES_URL", servers.postgres_url()),
        ("TEST_REDIS_URL", servers.redis_url()),
        ("TEST_NATS_URL", servers.nats_url()),
    ])
}
