//! A private NATS server with JetStream on disk, loopback only.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::find;
use crate::terminal::Step;
use crate::{home, ports};

const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Writes the configuration and gives the command that runs the server.
pub fn prepare(dir: &Path, port: u16, step: &Step) -> anyhow::Result<Command> {
    let program = find::or_install("nats-server", "nats-server", step)?;
    let data = dir.join("nats");
    home::make(&data)?;
    let config = data.join("nats.conf");
    let text = format!(
        "listen: \"127.0.0.1:{port}\"\nserver_name: \"stampede-dev\"\njetstream {{ store_dir: \"{}\" }}\n",
        data.display()
    );
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    Ok(command)
}

/// Reads the server's greeting, which says whether JetStream is on.
pub fn probe(port: u16) -> anyhow::Result<()> {
    let stream = TcpStream::connect_timeout(&ports::loopback(port), ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting)?;
    if !greeting.starts_with("INFO ") {
        bail!("what listens on the port of NATS is not NATS");
    }
    if !greeting.contains("\"jetstream\":true") {
        bail!("NATS runs without JetStream");
    }
    Ok(())
}
