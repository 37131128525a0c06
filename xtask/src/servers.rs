//! Private Postgres, Redis and NATS under one folder: started when needed, reused when alive, stopped by their
//! recorded process ids only. Their data outlives them until `wipe`. They listen on loopback and nowhere else.

pub mod command;
pub(crate) mod find;
mod folder;
mod nats;
mod postgres;
mod redis;
pub(crate) mod state;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::pids::{self, Pid, Signal};
use crate::terminal::Step;
use crate::{home, ports};
use state::{Entry, State};

pub use folder::{Status, status, stop, test_variables, wipe};
pub use postgres::connection;

/// The program of a NATS server, installed first when it is missing and may be.
pub fn nats_program() -> anyhow::Result<PathBuf> {
    find::or_install("nats-server", "nats-server", &Step::silent())
}

/// Postgres recovering from a crash takes longest.
const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 8;
/// A killed postmaster's backends are on their way out for a moment, and the kernel may still know its number.
const STILL_LEAVING: [&str; 2] =
    ["pre-existing shared memory block", "lock file \"postmaster.pid\" already exists"];
const LEFT_WITHIN: Duration = Duration::from_secs(15);

/// The servers this system stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Postgres,
    Redis,
    Nats,
}

/// The three servers of one folder, running.
#[derive(Debug)]
pub struct Servers {
    dir: PathBuf,
    state: State,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Postgres, Kind::Redis, Kind::Nats];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
            Kind::Nats => "nats",
        }
    }

    /// The word in its command line by which its process is known.
    fn program(self) -> &'static str {
        match self {
            Kind::Postgres => "postgres",
            Kind::Redis => "redis-server",
            Kind::Nats => "nats-server",
        }
    }
}

impl Servers {
    /// Starts what is not running under `dir` and waits until all answer.
    pub fn start(dir: &Path, step: &Step) -> anyhow::Result<Servers> {
        Servers::start_some(dir, &Kind::ALL, step)
    }

    /// Starts only these.
    pub fn start_some(dir: &Path, kinds: &[Kind], step: &Step) -> anyhow::Result<Servers> {
        home::make_passable(dir)?;
        home::make(&dir.join("logs"))?;
        let mut servers = Servers { dir: dir.to_owned(), state: State::read(dir)? };
        for kind in kinds.iter().filter(|kind| !servers.is_alive(**kind)).copied().collect::<Vec<_>>() {
            step.at(kind.name());
            servers.launch(kind, step)?;
        }
        for kind in kinds {
            servers.wait_ready(*kind, step)?;
        }
        Ok(servers)
    }

    /// What runs under `dir`, started by an earlier command; nothing when any of them is down.
    pub fn running(dir: &Path) -> anyhow::Result<Option<Servers>> {
        let servers = Servers { dir: dir.to_owned(), state: State::read(dir)? };
        Ok(Kind::ALL.iter().all(|kind| servers.is_alive(*kind)).then_some(servers))
    }

    /// The superuser's URL, on the database `postgres`.
    pub fn postgres_url(&self) -> String {
        self.database_url("postgres")
    }

    pub fn database_url(&self, database: &str) -> String {
        let (port, password) = (self.port(Kind::Postgres), &self.state.password);
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    pub fn redis_url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}", self.state.password, self.port(Kind::Redis))
    }

    pub fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port(Kind::Nats))
    }

    /// Makes the database when it is missing; says whether it was.
    pub fn create_database(&self, database: &str) -> anyhow::Result<bool> {
        postgres::create_database(&self.postgres_url(), database)
    }

    pub fn drop_database(&self, database: &str) -> anyhow::Result<()> {
        postgres::drop_database(&self.postgres_url(), database)
    }

    /// Where they are, for a line of progress.
    pub fn list(&self) -> String {
        Kind::ALL.map(|kind| format!("{} on {}", kind.name(), self.port(kind))).join(", ")
    }

    /// The `psql` that belongs to the server.
    pub fn psql(&self) -> anyhow::Result<PathBuf> {
        Ok(find::postgres(None)?.join("psql"))
    }

    /// Ends a server as a power cut would, as far as a process can.
    pub fn kill9(&mut self, kind: Kind) -> anyhow::Result<()> {
        match self.pid(kind) {
            None => Ok(()),
            Some(pid) => pid.stop(Signal::Kill, STOPPED_WITHIN),
        }
    }

    /// Starts a server again, on its old port and data, and waits for it.
    pub fn restart(&mut self, kind: Kind) -> anyhow::Result<()> {
        if !self.is_alive(kind) {
            self.launch(kind, &Step::silent())?;
        }
        self.wait_ready(kind, &Step::silent())
    }

    /// Stops a server in an orderly way.
    pub fn stop_one(&mut self, kind: Kind) -> anyhow::Result<()> {
        let signal = match kind {
            Kind::Postgres => Signal::Int,
            Kind::Redis | Kind::Nats => Signal::Term,
        };
        match self.pid(kind) {
            None => Ok(()),
            Some(pid) => pid.stop(signal, STOPPED_WITHIN),
        }
    }

    /// The process of a server, for a drill that pauses it.
    pub fn pid(&self, kind: Kind) -> Option<Pid> {
        self.state.entries.get(kind.name()).map(|entry| entry.pid.clone())
    }

    fn port(&self, kind: Kind) -> u16 {
        self.state.entries.get(kind.name()).map_or(0, |entry| entry.port)
    }

    fn is_alive(&self, kind: Kind) -> bool {
        self.state.entries.get(kind.name()).is_some_and(|entry| entry.pid.is_alive())
    }

    fn launch(&mut self, kind: Kind, step: &Step) -> anyhow::Result<()> {
        let last = self.state.entries.get(kind.name()).map(|entry| entry.port);
        let port = ports::keep_or_draw(None, last)?;
        let mut command = match kind {
            Kind::Postgres => postgres::prepare(&self.dir, &mut self.state, port, step)?,
            Kind::Redis => redis::prepare(&self.dir, &self.state, port, step)?,
            Kind::Nats => nats::prepare(&self.dir, port, step)?,
        };
        // The password and a data folder elsewhere must be known before anything runs with them.
        self.state.write(&self.dir)?;
        let child = pids::launch(&mut command, &self.log(kind))?;
        let pid = Pid::of(&child, kind.program())?;
        pids::reap(child);
        self.state.entries.insert(kind.name().to_owned(), Entry { pid, port });
        self.state.write(&self.dir)
    }

    fn wait_ready(&mut self, kind: Kind, step: &Step) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let Err(trouble) = self.probe(kind) else { return Ok(()) };
            let name = kind.name();
            if !self.is_alive(kind) {
                let lines = pids::last_lines(&self.log(kind), LOG_LINES);
                let leaving = STILL_LEAVING.iter().any(|word| lines.contains(word));
                if !leaving || began.elapsed() > LEFT_WITHIN {
                    bail!("{name} ended while starting; its last lines were:\n{lines}");
                }
                self.launch(kind, step)?;
            }
            if began.elapsed() > READY_WITHIN {
                let log = self.log(kind);
                return Err(trouble.context(format!("{name} was not ready in time; see {}", log.display())));
            }
            std::thread::sleep(POLL);
        }
    }

    fn probe(&self, kind: Kind) -> anyhow::Result<()> {
        match kind {
            Kind::Postgres => postgres::probe(&self.postgres_url()),
            Kind::Redis => redis::probe(self.port(kind), &self.state.password),
            Kind::Nats => nats::probe(self.port(kind)),
        }
    }

    fn log(&self, kind: Kind) -> PathBuf {
        self.dir.join("logs").join(format!("{}.log", kind.name()))
    }
}

#[cfg(test)]
mod tests;
