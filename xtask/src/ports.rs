//! Free loopback ports: kept when still free, otherwise drawn anew. It never looks beyond 127.0.0.1.

use std::fs::{File, TryLockError};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::home;

/// Below the range the kernel draws outgoing ports from, so that no connection takes one meanwhile.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// More failures than this mean that nothing may be bound at all.
const DRAWS: usize = 200;
/// A killed process keeps its ports until its last thread is gone; its peers know it by them.
const FREED_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// `port` on loopback.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The port wished for when it is free, or that of last time, or another one.
pub fn keep_or_draw(wished: Option<u16>, last: Option<u16>) -> anyhow::Result<u16> {
    let kept = wished.filter(|port| is_free(*port)).or_else(|| last.filter(|port| is_freed(*port)));
    if let Some(port) = kept {
        return Ok(port);
    }
    for _ in 0..DRAWS {
        let port = rand::random_range(FIRST..LAST);
        if is_free(port) && reserve(port)? {
            return Ok(port);
        }
    }
    bail!("no free port was found on 127.0.0.1 between {FIRST} and {LAST}")
}

/// Takes the port for as long as this program runs: another one that starts a stack meanwhile draws a different one,
/// although nobody listens on this one yet.
fn reserve(port: u16) -> anyhow::Result<bool> {
    let folder = std::env::temp_dir().join(format!("stampede-ports-{}", home::user()));
    home::make(&folder)?;
    let path = folder.join(port.to_string());
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            // Never closed, so the lock ends with the program.
            std::mem::forget(file);
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn is_freed(port: u16) -> bool {
    let deadline = Instant::now() + FREED_WITHIN;
    while !is_free(port) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_port_is_not_drawn_again_while_this_program_runs() {
        let port = keep_or_draw(None, None).unwrap();
        assert!(is_free(port));
        assert!(!reserve(port).unwrap());
        assert_eq!(keep_or_draw(None, Some(port)).unwrap(), port);
    }
}
