//! The processes of the bench: the backend, and each contestant in front of it, started once and kept for all rounds. Each ends with
//! its value. Nothing listens beyond loopback.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use stampede_pki::Folder;

use super::envoy;
use super::load::Contestant;
use crate::pids::{self, Pid, Signal};
use crate::{certs, home, ports, stack};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(25);
const GATEWAY: &str = "gateway";
/// Beyond what any run opens, so that it is no limit that is measured.
const OPEN: &str = "19000";
const RATE: &str = "10000000";
/// The share of calls that is traced: the default, said here because the figures depend on it.
const SAMPLE: &str = "0.01";

/// Where it keeps itself.
pub fn folder() -> PathBuf {
    home::dev().join("bench-gateway")
}

/// The certificates of all.
pub fn certificates() -> anyhow::Result<Folder> {
    let out = folder().join("certs");
    home::make(&out)?;
    Ok(certs::ensure(&out, certs::ENVIRONMENT)?.0)
}

/// Where a backend listens.
#[derive(Debug, Clone, Copy)]
pub struct Backend {
    pub plain: SocketAddr,
    pub mutual: SocketAddr,
}

/// A process of the bench; it ends with this value.
pub struct Process {
    pub pid: u32,
    pub address: SocketAddr,
    process: Pid,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It keeps nothing; what cannot be ended here ends with the terminal.
        self.process.stop(Signal::Term, STOPPED_WITHIN).ok();
    }
}

impl Process {
    /// The backend, and where it listens.
    pub fn stub() -> anyhow::Result<(Process, Backend)> {
        let backend = Backend { plain: port()?, mutual: port()? };
        let (plain, mutual) = (backend.plain.to_string(), backend.mutual.to_string());
        let mut command = own("gateway-stub")?;
        command.args(["--plain", &plain, "--mutual", &mutual, "--certs"]).arg(folder().join("certs"));
        Ok((Process::launch("stub", command, "gateway-stub", backend.mutual)?, backend))
    }

    /// A contestant in front of a backend; nothing where the client is to speak to the backend itself.
    pub fn contestant(
        contestant: Contestant,
        backend: Backend,
        certs: &Folder,
        binaries: &Path,
    ) -> anyhow::Result<Option<Process>> {
        let listen = port()?;
        let process = match contestant {
            Contestant::None => return Ok(None),
            Contestant::Null | Contestant::Bare => {
                let mut command = own("gateway-facade")?;
                let (listens, plain) = (listen.to_string(), backend.plain.to_string());
                command.args(["--listen", &listens, "--backend", &plain]);
                if contestant == Contestant::Bare {
                    command.arg("--transcode");
                }
                Process::launch(contestant.name(), command, "gateway-facade", listen)?
            }
            Contestant::Ours => {
                let process = Process::launch(
                    contestant.name(),
                    ours(listen, backend, certs, binaries)?,
                    GATEWAY,
                    listen,
                )?;
                process.ready()?;
                process
            }
            Contestant::Envoy => {
                let command = envoy::command(&folder(), listen, backend.plain)?;
                Process::launch(contestant.name(), command, "envoy", listen)?
            }
        };
        Ok(Some(process))
    }

    fn launch(
        name: &str,
        mut command: Command,
        program: &str,
        listens: SocketAddr,
    ) -> anyhow::Result<Process> {
        let log = folder().join(format!("{name}.log"));
        command.current_dir(folder());
        let child = pids::launch(&mut command, &log)?;
        let pid = Pid::of(&child, program);
        pids::reap(child);
        let pid = pid?;
        let process = Process { pid: pid.pid, address: listens, process: pid };
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(listens).is_err() {
            if !process.process.is_alive() || Instant::now() >= deadline {
                bail!("{name} does not listen; its last lines were:\n{}", pids::last_lines(&log, 5));
            }
            std::thread::sleep(POLL);
        }
        Ok(process)
    }

    /// Waits until all it calls are ready.
    fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.says_ready().unwrap_or(false) {
            if Instant::now() >= deadline {
                bail!("the gateway does not become ready; see {}", folder().join("ours.log").display());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn says_ready(&self) -> anyhow::Result<bool> {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said.starts_with("HTTP/1.1 200"))
    }
}

/// This program again.
fn own(part: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
    command.args(["bench", part]);
    Ok(command)
}

fn port() -> anyhow::Result<SocketAddr> {
    Ok(ports::loopback(ports::keep_or_draw(None, None)?))
}

/// The gateway as it ships, everything on: tokens, limits, metrics, traces, mTLS to the services behind.
fn ours(listen: SocketAddr, backend: Backend, certs: &Folder, binaries: &Path) -> anyhow::Result<Command> {
    let program = binaries.join("gateway");
    if !program.is_file() {
        bail!("{} is not there; build it with `cargo build -p stampede-gateway`", program.display());
    }
    let path = |path: PathBuf| path.display().to_string();
    let behind = backend.mutual.to_string();
    let settings = [
        ("listen", listen.to_string()),
        ("admin.listen", port()?.to_string()),
        ("environment", certs::ENVIRONMENT.to_owned()),
        ("tls.cert", path(certs.cert_path(GATEWAY))),
        ("tls.key", path(certs.key_path(GATEWAY))),
        ("tls.ca", path(certs.ca_path())),
        ("tls.crl", path(certs.crl_path())),
        ("jwt.jwks", path(certs.jwks_path())),
        ("peers.order", behind.clone()),
        ("peers.inventory", behind.clone()),
        ("peers.payment", behind),
        ("limits.connections", OPEN.to_owned()),
        ("limits.streams", OPEN.to_owned()),
        ("limits.rate", RATE.to_owned()),
        ("otlp.endpoint", format!("http://{}", backend.plain)),
        ("otlp.sample", SAMPLE.to_owned()),
    ];
    let mut command = Command::new(program);
    command.env_clear().envs(settings.map(|(key, value)| (stack::variable(GATEWAY, key), value)));
    Ok(command)
}
