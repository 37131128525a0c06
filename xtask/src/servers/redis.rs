//! A private Redis: append-only file synced every second, loopback only, behind a password.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::find;
use super::state::State;
use crate::terminal::Step;
use crate::{home, ports};

const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Writes the configuration and gives the command that runs the server.
pub fn prepare(dir: &Path, state: &State, port: u16, step: &Step) -> anyhow::Result<Command> {
    let program = find::or_install("redis-server", "redis-server", step)?;
    let data = dir.join("redis");
    home::make(&data)?;
    let config = data.join("redis.conf");
    // The password stands in a file, because a command line is everybody's to read.
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir \"{}\"\nrequirepass {}\ndaemonize no\n\
         appendonly yes\nappendfsync everysec\nsave \"\"\nmaxmemory-policy noeviction\n",
        data.display(),
        state.password
    );
    std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = Command::new(program);
    command.arg(config);
    Ok(command)
}

/// Asks the server for a sign of life.
pub fn probe(port: u16, password: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&ports::loopback(port), ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes())?;
    let mut answer = String::new();
    let mut chunk = [0; 256];
    while answer.matches("\r\n").count() < 2 {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        answer.push_str(&String::from_utf8_lossy(&chunk[..count]));
    }
    if !answer.contains("+PONG") {
        bail!("Redis answers {:?}", answer.trim());
    }
    Ok(())
}
