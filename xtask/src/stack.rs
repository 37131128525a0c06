//! The processes of Stampede, one or more of each service, each with its own variables, ports and log: started, waited
//! for, killed and started again, one at a time or all together. Several stacks may run side by side in folders of their own.

mod names;
mod probe;
mod spec;
mod state;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use stampede_pki::Folder;

use crate::pids::{self, Pid, Signal};
use crate::servers::Servers;
use crate::terminal::Step;
use crate::{certs, home, ports};

pub use spec::NAMES;
pub(crate) use spec::variable;
use state::{Entry, State};
pub use state::{status, stop, wipe};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// A service drains for ten seconds at most by default; then it is ended.
pub(crate) const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(25);
const LOG_LINES: usize = 6;

/// Where a stack lives and what it is made of.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Its state, logs and data.
    pub dir: PathBuf,
    /// The folder with the services' binaries.
    pub binaries: PathBuf,
    /// The folder of its certificates.
    pub certs: PathBuf,
    /// The port the gateway should have when it is free.
    pub gateway_port: Option<u16>,
    /// Settings beyond the usual, as (service, key, value): ("order", "log", "debug"). Every process of the service has them;
    /// the name of a second process, such as `inventory-2`, means that process alone.
    pub settings: Vec<(&'static str, &'static str, String)>,
    /// Services with more than one process, on the same stores; peers call the first. ("inventory", 3) adds `inventory-2` and
    /// `inventory-3`.
    pub instances: Vec<(&'static str, usize)>,
}

/// The processes of one folder.
pub struct Stack {
    layout: Layout,
    servers: Servers,
    folder: Folder,
    state: State,
}

impl Layout {
    /// A stack of its own in `dir`, certificates included: what a test uses.
    pub fn private(dir: &Path) -> Layout {
        Layout {
            dir: dir.to_owned(),
            binaries: home::binaries(false),
            certs: dir.join("certs"),
            gateway_port: None,
            settings: Vec::new(),
            instances: Vec::new(),
        }
    }
}

impl Stack {
    /// Starts the servers, makes certificates and databases, and gives each process its ports; starts no process.
    pub fn open(layout: Layout, step: &Step) -> anyhow::Result<Stack> {
        let servers = Servers::start(&layout.dir, step)?;
        Stack::on(layout, servers)
    }

    /// The stack of `layout` when its servers run already.
    pub fn running(layout: Layout) -> anyhow::Result<Option<Stack>> {
        let Some(servers) = Servers::running(&layout.dir)? else { return Ok(None) };
        let stack = Stack::on(layout, servers)?;
        Ok(stack.names().iter().all(|name| stack.is_alive(name)).then_some(stack))
    }

    fn on(layout: Layout, servers: Servers) -> anyhow::Result<Stack> {
        for spec in spec::ALL.iter().filter(|spec| spec.database) {
            servers.create_database(spec.name)?;
        }
        let (folder, _) = certs::ensure(&layout.certs, certs::ENVIRONMENT)?;
        let mut stack = Stack { state: State::read(&layout.dir)?, layout, servers, folder };
        for name in stack.names() {
            stack.assign_ports(&name)?;
        }
        stack.write()?;
        Ok(stack)
    }

    /// Every process, the called before their callers: the order of starting.
    pub fn names(&self) -> Vec<String> {
        names::all(&self.layout.instances)
    }

    /// Starts every process that does not run, or runs another binary or with other settings, and waits until all
    /// are ready. Gives the names of those started.
    pub fn start_all(&mut self, step: &Step) -> anyhow::Result<Vec<String>> {
        let mut started = Vec::new();
        for name in self.names() {
            if self.is_alive(&name) && self.entry(&name)?.fingerprint == self.fingerprint(&name)? {
                continue;
            }
            self.stop(&name)?;
            step.at(format!("starting {name}"));
            self.start(&name)?;
            started.push(name);
        }
        for name in self.names() {
            step.at(format!("waiting for {name}"));
            self.wait_ready(&name, READY_WITHIN)?;
        }
        Ok(started)
    }

    /// Starts one process; does not wait for it.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        if self.is_alive(name) {
            return Ok(());
        }
        self.assign_ports(name)?;
        let program = self.binary(name);
        if !program.is_file() {
            bail!("{} is not there; build it with `cargo build --workspace --bins`", program.display());
        }
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .envs(self.variables(name)?)
            .current_dir(&self.layout.dir);
        let fingerprint = self.fingerprint(name)?;
        let child = pids::launch(&mut command, &self.log(name))?;
        let pid = Pid::of(&child, names::service(name));
        pids::reap(child);
        let entry = self.state.entries.get_mut(name).context("its ports were assigned above")?;
        entry.pid = Some(pid?);
        entry.fingerprint = fingerprint;
        self.write()
    }

    /// Waits until the process says it is ready, or says what became of it.
    pub fn wait_ready(&self, name: &str, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let Err(trouble) = self.entry(name)?.probe() else { return Ok(()) };
            if !self.is_alive(name) {
                let (log, lines) = (self.log(name), pids::last_lines(&self.log(name), LOG_LINES));
                bail!("{name} ended while starting; see {}; its last lines were:\n{lines}", log.display());
            }
            if Instant::now() >= deadline {
                let log = self.log(name);
                return Err(trouble.context(format!("{name} is not ready; see {}", log.display())));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Changes a setting of a service, or takes it back; the service hears of it when it is started again.
    pub fn set(&mut self, service: &'static str, key: &'static str, value: Option<String>) {
        self.layout.settings.retain(|(s, k, _)| (*s, *k) != (service, key));
        self.layout.settings.extend(value.map(|value| (service, key, value)));
    }

    /// Ends a process at once, as `kill -9` does.
    pub fn kill9(&mut self, name: &str) -> anyhow::Result<()> {
        self.pid(name).map_or(Ok(()), |pid| pid.stop(Signal::Kill, STOPPED_WITHIN))
    }

    /// Ends a process as the platform would: SIGTERM, a drain, an exit.
    pub fn stop(&mut self, name: &str) -> anyhow::Result<()> {
        self.pid(name).map_or(Ok(()), |pid| pid.stop(Signal::Term, STOPPED_WITHIN))
    }

    /// Stops all, callers before the called.
    pub fn stop_all(&mut self) -> anyhow::Result<()> {
        self.names().iter().rev().try_for_each(|name| self.stop(name))
    }

    /// The process, for a drill that pauses it.
    pub fn pid(&self, name: &str) -> Option<Pid> {
        self.state.entries.get(name).and_then(|entry| entry.pid.clone())
    }

    pub fn is_alive(&self, name: &str) -> bool {
        self.pid(name).is_some_and(|pid| pid.is_alive())
    }

    /// Where it serves: HTTP for the gateway and the provider, gRPC over mTLS for the others.
    pub fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        Ok(ports::loopback(self.entry(name)?.port))
    }

    /// Where it serves /readyz and /metrics.
    pub fn admin_address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        Ok(ports::loopback(self.entry(name)?.admin_port))
    }

    /// `http://127.0.0.1:<port>`.
    pub fn gateway(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.address("gateway")?))
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    pub fn servers_mut(&mut self) -> &mut Servers {
        &mut self.servers
    }

    /// The certificates and the token issuer.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.layout.dir.join("logs").join(format!("{name}.log"))
    }

    fn entry(&self, name: &str) -> anyhow::Result<&Entry> {
        self.state.entries.get(name).with_context(|| format!("{name} is no process of this stack"))
    }

    fn binary(&self, name: &str) -> PathBuf {
        self.layout.binaries.join(names::service(name))
    }

    fn assign_ports(&mut self, name: &str) -> anyhow::Result<()> {
        if self.is_alive(name) {
            return Ok(());
        }
        let last = self.state.entries.get(name).cloned();
        let wished = self.layout.gateway_port.filter(|_| name == "gateway");
        let port = ports::keep_or_draw(wished, last.as_ref().map(|entry| entry.port))?;
        let admin_port = match spec::find(name)?.admin {
            true => ports::keep_or_draw(None, last.as_ref().map(|entry| entry.admin_port))?,
            false => 0,
        };
        let entry = Entry { pid: None, port, admin_port, fingerprint: String::new() };
        self.state.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    fn variables(&self, name: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let address = |name: &str| self.address(name);
        let mut settings = spec::find(name)?.settings(&spec::Surroundings {
            dir: &self.layout.dir,
            servers: &self.servers,
            folder: &self.folder,
            listen: self.address(name)?,
            admin: self.admin_address(name)?,
            address: &address,
        })?;
        let service = names::service(name);
        // What is said of the process alone comes after what is said of its service.
        for of in [service, name] {
            for (_, key, value) in self.layout.settings.iter().filter(|(named, _, _)| *named == of) {
                settings.insert(key, value.clone());
            }
        }
        Ok(settings.into_iter().map(|(key, value)| (spec::variable(service, key), value)).collect())
    }

    fn fingerprint(&self, name: &str) -> anyhow::Result<String> {
        let program = self.binary(name);
        let changed = fs::metadata(&program).and_then(|metadata| metadata.modified()).ok();
        Ok(spec::fingerprint(&self.variables(name)?, &program, changed))
    }

    fn write(&self) -> anyhow::Result<()> {
        self.state.write(&self.layout.dir)
    }
}
