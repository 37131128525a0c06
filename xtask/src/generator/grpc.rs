//! One pipelined connection: HTTP/2 over mTLS with so many requests in flight. What has been answered is asked anew in one write,
//! so the client's share of a request is a few hundred bytes copied. Of an answer it reads the gRPC status and nothing else.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use stampede_kit::clock::Clock;
use stampede_kit::tls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::frames::{self, HEAD_BYTES, Head};
use super::pace::{Due, Pace};
use super::tally::{Counters, Tally};

/// Plain bytes read at once; a TLS record holds 16 KiB at most.
const READ_BYTES: usize = 64 * 1024;
/// Places for requests in flight, by the number of their stream. A power of two.
const PLACES: usize = 16 * 1024;
/// The same where a connection has one request at a time: thousands of connections share the caches then.
const READ_BYTES_OF_ONE: usize = 4 * 1024;
const PLACES_OF_ONE: usize = 2;
/// How long the last answers may take after the run is over.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A server that says nothing for so long has lost a request.
const SILENCE: Duration = Duration::from_secs(10);

/// What a connection asks for. Numbers are used once a shop.
pub trait Calls: Send + 'static {
    /// Appends the header block of request `number`; `first` fills the server's dynamic table.
    fn block(&mut self, number: u64, first: bool, out: &mut Vec<u8>);
    /// The length of its message, frame included.
    fn message_len(&self, number: u64) -> usize;
    /// Appends its message. `now_ms` is the time now.
    fn message(&mut self, number: u64, now_ms: u64, out: &mut Vec<u8>);
}

/// Where a load goes and how much of it is in flight.
#[derive(Debug, Clone)]
pub struct Target {
    /// Connections are dealt out to these in turn.
    pub addresses: Vec<SocketAddr>,
    /// Whose certificate the servers must show.
    pub service: &'static str,
    pub connections: usize,
    /// Requests in flight on each.
    pub streams: usize,
}

impl Target {
    /// The connections of a load: each asks for what is due next.
    pub fn connections<C: Calls + Clone>(
        &self,
        tls: &tls::Client,
        calls: &C,
        pace: &Arc<Pace>,
        counters: &Arc<Counters>,
    ) -> Vec<impl Future<Output = anyhow::Result<Tally>> + Send + use<C>> {
        let connection = |at: usize| {
            let (address, service, streams) =
                (self.addresses[at % self.addresses.len()], self.service, self.streams);
            let (tls, calls, pace) = (tls.clone(), calls.clone(), Arc::clone(pace));
            let counters = Arc::clone(counters);
            async move {
                let stream = connect(address, service, &tls).await?;
                Connection::new(stream, calls, pace, counters).run(streams).await
            }
        };
        (0..self.connections).map(connection).collect()
    }
}

async fn connect(
    address: SocketAddr,
    service: &'static str,
    tls: &tls::Client,
) -> anyhow::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("{address} is not there"))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(service).expect("the name of a service is a host name");
    TlsConnector::from(tls.config()).connect(name, stream).await.context("the TLS handshake failed")
}

pub struct Connection<S, C> {
    io: S,
    calls: C,
    pace: Arc<Pace>,
    /// Handed out, and not sent yet.
    due: Option<Due>,
    /// Nothing more will be due.
    over: bool,
    counters: Arc<Counters>,
    clock: Clock,
    /// When the request of each stream was due.
    sent: Vec<Option<Instant>>,
    next_stream: u32,
    in_flight: usize,
    heard_at: Instant,
    /// Bytes of messages the server takes now.
    window: i64,
    block: Vec<u8>,
    out: Vec<u8>,
    read: Vec<u8>,
    read_bytes: usize,
    tally: Tally,
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Calls> Connection<S, C> {
    pub fn new(io: S, calls: C, pace: Arc<Pace>, counters: Arc<Counters>) -> Self {
        Connection {
            io,
            calls,
            pace,
            due: None,
            over: false,
            counters,
            clock: Clock::system(),
            sent: Vec::new(),
            next_stream: 1,
            in_flight: 0,
            heard_at: Instant::now(),
            window: frames::FIRST_WINDOW_BYTES,
            block: Vec::new(),
            out: frames::opening(),
            read: Vec::new(),
            read_bytes: READ_BYTES,
            tally: Tally::new(),
        }
    }

    /// Sends what is due, with at most `streams` requests in flight, until the counters say stop or nothing more is due; then it
    /// waits for the last answers.
    pub async fn run(mut self, streams: usize) -> anyhow::Result<Tally> {
        let places = if streams > 1 { PLACES } else { PLACES_OF_ONE };
        self.sent.resize(places, None);
        self.read_bytes = if streams > 1 { READ_BYTES } else { READ_BYTES_OF_ONE };
        let mut ends: Option<Instant> = None;
        loop {
            if self.over || self.counters.stop.load(Ordering::Relaxed) {
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

    /// Writes the requests that are due and have room.
    fn ask(&mut self, streams: usize) {
        let now = Instant::now();
        let now_ms = u64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        while self.in_flight < streams {
            let Some(Due { number, at }) = self.due.or_else(|| self.pace.next(now)) else {
                self.over = true;
                return;
            };
            self.due = Some(Due { number, at });
            let length = self.calls.message_len(number);
            let stream = self.next_stream;
            let place = self.place(stream);
            let slot = &mut self.sent[place];
            if at > now || self.window < length as i64 || slot.is_some() {
                return;
            }
            (*slot, self.due) = (Some(at), None);
            self.block.clear();
            self.calls.block(number, stream == 1, &mut self.block);
            frames::frame(&mut self.out, frames::HEADERS, frames::END_HEADERS, stream, &self.block);
            Head { length, kind: frames::DATA, flags: frames::END_STREAM, stream }.write(&mut self.out);
            self.calls.message(number, now_ms, &mut self.out);
            self.window -= length as i64;
            self.next_stream += 2;
            self.in_flight += 1;
        }
    }

    /// Waits for bytes and takes what they say, until the next request is due.
    async fn hear(&mut self) -> anyhow::Result<()> {
        let silent = self.heard_at + SILENCE;
        let until =
            self.due.map_or(silent, |due| if self.in_flight > 0 { due.at.min(silent) } else { due.at });
        let begun = self.read.len();
        self.read.resize(begun + self.read_bytes, 0);
        let heard = timeout_at(until.into(), self.io.read(&mut self.read[begun..])).await;
        let count = match heard {
            Ok(count) => count.context("the connection broke")?,
            Err(_) => {
                self.read.truncate(begun);
                ensure!(self.in_flight == 0 || Instant::now() < silent, "the server has fallen silent");
                return Ok(());
            }
        };
        ensure!(count > 0, "the server closed the connection");
        self.read.truncate(begun + count);
        self.heard_at = Instant::now();
        let bytes = std::mem::take(&mut self.read);
        let mut at = 0;
        while let Some(head) = Head::read(&bytes[at..])
            && let Some(payload) = bytes.get(at + HEAD_BYTES..at + HEAD_BYTES + head.length)
        {
            at += HEAD_BYTES + head.length;
            self.take(head, payload, self.heard_at)?;
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

    /// Streams of a client are odd.
    fn place(&self, stream: u32) -> usize {
        (stream as usize / 2) % self.sent.len()
    }

    /// A request has its answer, or was broken off.
    fn over(&mut self, stream: u32, status: Option<u8>, now: Instant) {
        let place = self.place(stream);
        if let Some(sent) = self.sent[place].take() {
            self.in_flight -= 1;
            let measured = self.counters.measuring.load(Ordering::Relaxed);
            self.tally.record(status, measured.then(|| now.saturating_duration_since(sent)));
        }
    }
}
