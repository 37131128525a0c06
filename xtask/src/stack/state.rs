//! What is remembered about a stack's processes (`stack.json`), and what can be done from that alone: show them, stop
//! them, remove what they kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{STOPPED_WITHIN, names, probe};
use crate::pids::{Pid, Signal};
use crate::ports;
use crate::servers::{self, Status};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// By the process's name.
    pub entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub pid: Option<Pid>,
    pub port: u16,
    /// 0 where there is none.
    pub admin_port: u16,
    /// Of its variables and its binary: another fingerprint asks for a restart.
    pub fingerprint: String,
}

impl Entry {
    /// Whether it is ready. The provider has no admin listener and needs nothing to be ready but itself.
    pub fn probe(&self) -> anyhow::Result<()> {
        match self.admin_port {
            0 => probe::ready(ports::loopback(self.port), "/healthz"),
            port => probe::ready(ports::loopback(port), "/readyz"),
        }
    }
}

impl State {
    fn path(dir: &Path) -> PathBuf {
        dir.join("stack.json")
    }

    pub fn read(dir: &Path) -> anyhow::Result<State> {
        let path = State::path(dir);
        if path.exists() { servers::state::read_json(&path) } else { Ok(State::default()) }
    }

    pub fn write(&self, dir: &Path) -> anyhow::Result<()> {
        servers::state::write_json(&State::path(dir), self)
    }

    /// The usual processes and those remembered beyond them, the called before their callers.
    fn names(&self) -> Vec<String> {
        let mut names = names::all(&[]);
        names.extend(self.entries.keys().filter(|name| names::service(name) != *name).cloned());
        names::sort(&mut names);
        names
    }
}

/// How the processes under `dir` are, whether or not the servers run.
pub fn status(dir: &Path) -> anyhow::Result<Vec<Status>> {
    let state = State::read(dir)?;
    let one = |name: String| {
        let entry = state.entries.get(&name);
        let pid = entry.and_then(|entry| entry.pid.clone()).filter(Pid::is_alive);
        let trouble = match (&pid, entry) {
            (Some(_), Some(entry)) => entry.probe().err().map(|error| format!("{error:#}")),
            (None, _) | (_, None) => Some("not running".to_owned()),
        };
        Ok(Status { name, pid: pid.map(|pid| pid.pid), port: entry.map(|entry| entry.port), trouble })
    };
    state.names().into_iter().map(one).collect()
}

/// Stops the processes under `dir`, callers before the called; gives the names of those that ran.
pub fn stop(dir: &Path) -> anyhow::Result<Vec<String>> {
    let state = State::read(dir)?;
    let mut stopped = Vec::new();
    for name in state.names().into_iter().rev() {
        let pid = state.entries.get(&name).and_then(|entry| entry.pid.clone()).filter(Pid::is_alive);
        if let Some(pid) = pid {
            pid.stop(Signal::Term, STOPPED_WITHIN)?;
            stopped.push(name);
        }
    }
    Ok(stopped)
}

/// Stops everything under `dir`, servers too, and removes what they kept.
pub fn wipe(dir: &Path) -> anyhow::Result<()> {
    stop(dir)?;
    servers::wipe(dir)?;
    for path in [State::path(dir), dir.join("psp-simulator.journal"), dir.join("logs")] {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
