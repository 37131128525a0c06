//! One pipelined connection: HTTP/2 over mTLS with so many requests in flight. What has been answered is asked anew in one write,
//! so the client's share of a request is a few hundred bytes copied. Of an answer it reads the gRPC status and nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use stampede_kit::clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frames::{self, Blocks, HEAD_BYTES, Head};
use super::message::Messages;
use super::tally::{Counters, Tally};

/// Plain bytes read at once; a TLS record holds 16 KiB at most.
const READ_BYTES: usize = 64 * 1024;
/// Places for requests in flight, by the number of their stream. A power of two.
const PLACES: usize = 16 * 1024;
/// How long the last answers may take after the run is over.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A server that says nothing for so long has lost a request.
const SILENCE: Duration = Duration::from_secs(10);

pub struct Connection<S> {
    io: S,
    blocks: Blocks,
    messages: Messages,
    counters: Arc<Counters>,
    clock: Clock,
    /// When the request of each stream was sent.
    sent: Vec<Option<Instant>>,
    next_stream: u32,
    in_flight: usize,
    /// Bytes of messages the server takes now.
    window: i64,
    out: Vec<u8>,
    read: Vec<u8>,
    tally: Tally,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(io: S, blocks: Blocks, messages: Messages, counters: Arc<Counters>) -> Self {
        Connection {
            io,
            blocks,
            messages,
            counters,
            clock: Clock::system(),
            sent: vec![None; PLACES],
            next_stream: 1,
            in_flight: 0,
            window: frames::FIRST_WINDOW_BYTES,
            out: frames::opening(),
            read: Vec::with_capacity(2 * READ_BYTES),
            tally: Tally::new(),
        }
    }

    /// Keeps `streams` requests in flight until the counters say stop, then waits for the last answers.
    pub async fn run(mut self, streams: usize) -> anyhow::Result<Tally> {
        let mut ends: Option<Instant> = None;
        loop {
            let stopped = self.counters.stop.load(Ordering::Relaxed);
            if stopped {
                let ends = *ends.get_or_insert_with(|| Instant::now() + LAST_ANSWERS_WITHIN);
                if self.in_flight == 0 || Instant::now() >= ends {
                    self.tally.unanswered += self.in_flight as u64;
                    return Ok(self.tally);
                }
            } else {
                self.ask(streams);
            }
            if !self.out.is_empty() {
                self.io.write_all(&self.out).await.context("the server takes no more requests")?;
                self.io.flush().await?;
                self.out.clear();
            }
            self.hear().await?;
        }
    }

    /// Writes as many requests as are missing.
    fn ask(&mut self, streams: usize) {
        let now = Instant::now();
        let now_ms = u64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        while self.in_flight < streams {
            let length = self.messages.next_len();
            let stream = self.next_stream;
            let slot = &mut self.sent[place(stream)];
            if self.window < length as i64 || slot.is_some() {
                return;
            }
            *slot = Some(now);
            let block = if stream == 1 { &self.blocks.first } else { &self.blocks.later };
            frames::frame(&mut self.out, frames::HEADERS, frames::END_HEADERS, stream, block);
            Head { length, kind: frames::DATA, flags: frames::END_STREAM, stream }.write(&mut self.out);
            self.messages.write(now_ms, &mut self.out);
            self.window -= length as i64;
            self.next_stream += 2;
            self.in_flight += 1;
        }
    }

    /// Waits for bytes and takes what they say.
    async fn hear(&mut self) -> anyhow::Result<()> {
        let begun = self.read.len();
        self.read.resize(begun + READ_BYTES, 0);
        let count = tokio::time::timeout(SILENCE, self.io.read(&mut self.read[begun..])).await;
        let count = count.context("the server has fallen silent")?.context("the connection broke")?;
        ensure!(count > 0, "the server closed the connection");
        self.read.truncate(begun + count);
        let bytes = std::mem::take(&mut self.read);
        let now = Instant::now();
        let mut at = 0;
        while let Some(head) = Head::read(&bytes[at..])
            && let Some(payload) = bytes.get(at + HEAD_BYTES..at + HEAD_BYTES + head.length)
        {
            at += HEAD_BYTES + head.length;
            self.take(head, payload, now)?;
        }
        self.read = bytes;
        self.read.drain(..at);
        self.counters.publish(&mut self.tally);
        Ok(())
    }

    fn take(&mut self, head: Head, payload: &[u8], now: Instant) -> anyhow::Result<()> {
        match head.kind {
            frames::HEADERS => {
                ensure!(head.is_plain_block(), "a header block of more than one frame");
                if head.has(frames::END_STREAM) {
                    let status = frames::grpc_status(payload).context("an answer without a gRPC status")?;
                    self.over(head.stream, Some(status), now);
                }
            }
            frames::RST_STREAM => self.over(head.stream, None, now),
            frames::WINDOW_UPDATE if head.stream == 0 => {
                let more = payload.first_chunk().copied().map_or(0, u32::from_be_bytes);
                self.window += i64::from(more);
            }
            frames::SETTINGS if !head.has(frames::ACK) => {
                frames::frame(&mut self.out, frames::SETTINGS, frames::ACK, 0, &[]);
            }
            frames::PING if !head.has(frames::ACK) => {
                frames::frame(&mut self.out, frames::PING, frames::ACK, 0, payload);
            }
            frames::GOAWAY => bail!("the server says goodbye: {:?}", String::from_utf8_lossy(payload)),
            // Data, acknowledgements and windows of single streams change nothing here.
            _ => {}
        }
        Ok(())
    }

    /// A request has its answer, or was broken off.
    fn over(&mut self, stream: u32, status: Option<u8>, now: Instant) {
        if let Some(sent) = self.sent[place(stream)].take() {
            self.in_flight -= 1;
            let measured = self.counters.measuring.load(Ordering::Relaxed);
            self.tally.record(status, measured.then(|| now.saturating_duration_since(sent)));
        }
    }
}

/// Streams of a client are odd.
const fn place(stream: u32) -> usize {
    (stream as usize / 2) % PLACES
}
