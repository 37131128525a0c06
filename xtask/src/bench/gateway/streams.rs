//! `bench gateway --streams`: thousands who follow one feed over server-sent events through our gateway, each on a connection of its
//! own. What each costs the gateway in memory, and what one event to all of them costs in CPU. The feed is the stub's.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use serde::Serialize;
use stampede_kit::task;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};

use super::house::{self, Process};
use super::link::Link;
use super::load::{Contestant, GATEWAY};
use super::stub;
use crate::generator::frames;
use crate::measure::median;
use crate::processes::{Measured, Snapshot};
use crate::terminal::{Step, say};
use crate::token::{self, Role};

const PATH: &str = "/v1/stock:watch?campaignId=midnight-sale";
/// Events to all, one after the other.
const EVENTS: u64 = 10;
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Connections that are being opened at a time: the listener's queue is finite.
const OPENING: usize = 256;
/// Descriptors the rest of a process needs.
const SPARE_FILES: u64 = 500;
const READ_BYTES: usize = 2 * 1024;

#[derive(Debug, Serialize)]
pub struct Report {
    clients: u64,
    opened_s: f64,
    memory_before_mib: f64,
    memory_with_mib: f64,
    kib_a_client: f64,
    events: u64,
    /// From telling the backend until the last client has been told.
    to_all_ms_median: f64,
    to_all_ms_worst: f64,
    /// Of the gateway's process.
    cpu_ms_an_event: f64,
    cpu_us_a_client_and_event: f64,
}

impl Report {
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            say(serde_json::to_string(self)?);
            return Ok(());
        }
        say(format!(
            "{} clients of one feed over server-sent events, open after {:.1} s",
            self.clients, self.opened_s
        ));
        say(format!(
            "memory of the gateway, MiB: {:.1} before, {:.1} with them: {:.1} KiB a client",
            self.memory_before_mib, self.memory_with_mib, self.kib_a_client
        ));
        say(format!(
            "one event to all: median {:.0} ms, worst {:.0} ms; {:.0} ms of the gateway's CPU, {:.1} us a client",
            self.to_all_ms_median, self.to_all_ms_worst, self.cpu_ms_an_event, self.cpu_us_a_client_and_event
        ));
        Ok(())
    }
}

/// Opens them all, then tells them some events.
pub async fn measure(clients: u64, binaries: &Path) -> anyhow::Result<Report> {
    let files = open_files()?;
    ensure!(
        files >= clients + SPARE_FILES,
        "{clients} clients need {} open files a process, and this shell allows {files}: `ulimit -n`",
        clients + SPARE_FILES
    );
    let certs = house::certificates()?;
    let (_stub, backend) = Process::stub()?;
    let gateway = Process::contestant(Contestant::Ours, backend, &certs, binaries)?;
    let gateway = gateway.context("the gateway is a process")?;
    let processes = [Measured::new(GATEWAY, gateway.pid)];
    let memory = || Snapshot::take(&processes).memory_mib().get(GATEWAY).copied().unwrap_or(0.0);
    let bearer = token::sign(&certs, "bench-watcher", Role::Buyer)?;
    let tell = Link::open(backend.plain).await?;

    let step = Step::begin(format!("opening {clients} clients"));
    let (told, mut telling) = mpsc::channel(usize::try_from(clients)?);
    // One that comes and goes, so that what is there once is not counted as a client's.
    let first = task::spawn(
        "client",
        follow(gateway.address, bearer.clone(), told.clone(), Semaphore::new(1).into()),
    );
    everybody(&mut telling, 1).await?;
    let before = memory();
    let (began, opening) = (Instant::now(), std::sync::Arc::new(Semaphore::new(OPENING)));
    for _ in 1..clients {
        let client = follow(gateway.address, bearer.clone(), told.clone(), opening.clone());
        task::spawn("client", client);
    }
    everybody(&mut telling, clients - 1).await.context("not everybody got a snapshot")?;
    let opened_s = began.elapsed().as_secs_f64();
    let with = memory();
    step.done(format!("{opened_s:.1} s"));

    let step = Step::begin(format!("telling {EVENTS} events"));
    let uri: http::Uri = format!("http://backend{}", stub::TELL).parse()?;
    let cpu = Snapshot::take(&processes);
    let mut took = Vec::new();
    for _ in 0..EVENTS {
        let asked = Instant::now();
        tell.call(uri.clone(), Bytes::from(frames::message(&[]))).await?;
        everybody(&mut telling, clients).await.context("an event did not reach everybody")?;
        took.push(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    let cpu_us = Snapshot::take(&processes).cpu_us_since(&cpu)[GATEWAY];
    step.done("");
    first.abort();
    Ok(Report {
        clients,
        opened_s,
        memory_before_mib: before,
        memory_with_mib: with,
        kib_a_client: (with - before) * 1024.0 / clients as f64,
        events: EVENTS,
        to_all_ms_median: median(took.iter().copied()).unwrap_or(0.0),
        to_all_ms_worst: took.iter().copied().fold(0.0, f64::max),
        cpu_ms_an_event: cpu_us / EVENTS as f64 / 1_000.0,
        cpu_us_a_client_and_event: cpu_us / (EVENTS * clients) as f64,
    })
}

/// One client: says so for each event.
async fn follow(
    gateway: SocketAddr,
    bearer: String,
    told: mpsc::Sender<anyhow::Result<()>>,
    opening: std::sync::Arc<Semaphore>,
) {
    let ended = async {
        let slot = opening.acquire().await?;
        let mut stream = TcpStream::connect(gateway).await?;
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\nauthorization: Bearer {bearer}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut slot = Some(slot);
        let mut read = Vec::with_capacity(READ_BYTES);
        loop {
            ensure!(stream.read_buf(&mut read).await? > 0, "the gateway closed the stream");
            let events = take_events(&mut read)?;
            for _ in 0..events {
                slot.take();
                told.send(Ok(())).await?;
            }
        }
    };
    let ended: anyhow::Result<()> = ended.await;
    told.send(ended).await.ok();
}

/// Counts the whole events in what was read and forgets them. A heartbeat is none.
fn take_events(read: &mut Vec<u8>) -> anyhow::Result<usize> {
    if read.starts_with(b"HTTP/") && !read.starts_with(b"HTTP/1.1 200") {
        bail!("the gateway said {:?}", String::from_utf8_lossy(&read[..read.len().min(300)]));
    }
    let mut events = 0;
    while let Some(end) = read.windows(2).position(|two| two == b"\n\n") {
        let piece = &read[..end];
        events += usize::from(piece.windows(6).any(|six| six == b"data: "));
        read.drain(..end + 2);
    }
    Ok(events)
}

async fn everybody(telling: &mut mpsc::Receiver<anyhow::Result<()>>, clients: u64) -> anyhow::Result<()> {
    for at in 0..clients {
        match tokio::time::timeout(TOLD_WITHIN, telling.recv()).await {
            Ok(Some(told)) => told?,
            Ok(None) | Err(_) => bail!("{at} of {clients} were told"),
        }
    }
    Ok(())
}

/// How many files this process, and those it starts, may have open.
fn open_files() -> anyhow::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft =
        line.and_then(|line| line.split_ascii_whitespace().next()).context("no limit for open files")?;
    // "unlimited" is no number.
    Ok(soft.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_when_they_are_whole_and_heartbeats_are_not() {
        let mut read =
            b"HTTP/1.1 200 OK\r\na: b\r\n\r\n10\r\ndata: {}\n\n\r\n: still here\n\ndata: {".to_vec();
        assert_eq!(take_events(&mut read).unwrap(), 1);
        assert_eq!(read, b"data: {");
        assert!(take_events(&mut b"HTTP/1.1 429 No\r\n\r\n".to_vec()).is_err());
        assert!(open_files().unwrap() > 0);
    }
}
