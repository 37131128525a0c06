//! Processes started here: recorded with the instant they began, so that a number the kernel has given to somebody
//! else is never signalled.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

const POLL: Duration = Duration::from_millis(20);
const LOG_MAX_BYTES: u64 = 64 * 1024 * 1024;
const NAMED_WITHIN: Duration = Duration::from_secs(1);

/// A process of ours, told from a later one of the same number by when it began and what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pid {
    pub pid: u32,
    /// Clock ticks after boot at which the process began (field 22 of `/proc/<pid>/stat`).
    began_ticks: u64,
    /// A word its command line holds.
    program: String,
}

/// The signals this program sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    /// Postgres's "fast" shutdown.
    Int,
    Kill,
    Stop,
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        }
    }
}

impl Pid {
    /// Records a process that has just been started. `program` is a word of its command line.
    pub fn of(child: &Child, program: &str) -> anyhow::Result<Pid> {
        let pid = child.id();
        let stat = Stat::read(pid).with_context(|| format!("{program} ended as soon as it was started"))?;
        let recorded = Pid { pid, began_ticks: stat.began_ticks, program: program.to_owned() };
        // Its command line appears a moment after the kernel says that the program was loaded.
        let deadline = Instant::now() + NAMED_WITHIN;
        while !recorded.is_alive() && Instant::now() < deadline {
            if Stat::read(pid).is_none_or(|stat| stat.has_ended()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(recorded)
    }

    /// Whether it runs, and is still the process that was recorded.
    pub fn is_alive(&self) -> bool {
        let same = Stat::read(self.pid)
            .is_some_and(|stat| stat.began_ticks == self.began_ticks && !matches!(stat.state, 'Z' | 'X'));
        same && self.runs_program()
    }

    fn runs_program(&self) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&self.program)
    }

    /// Sends a signal; nothing happens when the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal.name(), &self.pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .context("cannot run sh to send a signal")?;
        // It may have ended in between, which is what most signals are for.
        if !sent.success() && self.is_alive() {
            bail!(
                "the process {} ({}) could not be signalled: is it another user's?",
                self.pid,
                self.program
            );
        }
        Ok(())
    }

    /// Asks it to end, and makes it end when it has not after `patience`.
    pub fn stop(&self, signal: Signal, patience: Duration) -> anyhow::Result<()> {
        self.signal(signal)?;
        if self.ends_within(patience) {
            return Ok(());
        }
        self.signal(Signal::Kill)?;
        if self.ends_within(patience) {
            return Ok(());
        }
        bail!("the process {} ({}) does not end", self.pid, self.program)
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }
}

struct Stat {
    state: char,
    began_ticks: u64,
}

impl Stat {
    /// A zombie has ended; only its parent has not asked yet.
    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// proc(5): the second field is the name in parentheses and may hold anything, so count from its end.
    fn read(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        let began_ticks = fields.nth(18)?.parse().ok()?;
        Some(Stat { state, began_ticks })
    }
}

/// Starts a process that outlives this one, away from its terminal's signals, writing to `log`.
pub fn launch(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let name = command.get_program().to_string_lossy().into_owned();
    put_aside(log)?;
    let out = File::options().create(true).append(true).open(log);
    let out = out.with_context(|| format!("cannot write {}", log.display()))?;
    let errors = out.try_clone().with_context(|| format!("cannot write {}", log.display()))?;
    let started = command.stdin(Stdio::null()).stdout(out).stderr(errors).process_group(0).spawn();
    started.with_context(|| format!("cannot start {name}"))
}

/// A log that has grown large makes room for a new one; one old one is kept.
fn put_aside(log: &Path) -> anyhow::Result<()> {
    if fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_MAX_BYTES) {
        fs::rename(log, log.with_extension("old.log"))
            .with_context(|| format!("cannot move {}", log.display()))?;
    }
    Ok(())
}

/// Waits for a child in the background, so that it leaves no zombie while this program lives.
pub fn reap(mut child: Child) {
    std::thread::spawn(move || child.wait());
}

/// The last lines of a log, for a complaint.
pub fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_process_is_stopped_and_then_known_to_be_gone() {
        let mut child = sleeper();
        let pid = Pid::of(&child, "sleep").unwrap();
        assert!(pid.is_alive());
        pid.stop(Signal::Term, Duration::from_secs(5)).unwrap();
        assert!(!pid.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn another_process_of_the_same_number_is_left_alone() {
        let mut child = sleeper();
        let pid = Pid::of(&child, "sleep").unwrap();
        let older = Pid { began_ticks: pid.began_ticks - 1, ..pid.clone() };
        let other = Pid { program: "postgres".to_owned(), ..pid.clone() };
        older.signal(Signal::Kill).unwrap();
        other.signal(Signal::Kill).unwrap();
        assert!(pid.is_alive());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
