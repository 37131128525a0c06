//! One connection over HTTP/1.1, kept alive, with one request at a time, as a browser's or a phone's is. Of an answer it reads the
//! status and the length, and of a refusal the reason word. It never opens a second connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use super::pace::Pace;
use super::tally::{Counters, Tally};

/// A server that says nothing for so long has lost a request.
const SILENCE: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// gRPC's UNKNOWN: an answer that says no in another way than the contract's.
const UNKNOWN: u8 = 2;

/// What a connection asks for.
pub trait Requests: Send + 'static {
    /// Writes request `number`, head and body.
    fn write(&mut self, number: u64, out: &mut Vec<u8>);
}

/// What an answer was.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    http_status: u16,
    /// Where it ends.
    length: usize,
}

/// Sends what is due until the counters say stop.
pub async fn run(
    address: SocketAddr,
    mut requests: impl Requests,
    pace: Arc<Pace>,
    counters: Arc<Counters>,
) -> anyhow::Result<Tally> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("{address} is not there"))?;
    stream.set_nodelay(true)?;
    let (mut out, mut read, mut tally) = (Vec::new(), Vec::with_capacity(READ_BYTES), Tally::new());
    while !counters.stop.load(Ordering::Relaxed) {
        let Some(due) = pace.next(Instant::now()) else { break };
        if due.at > Instant::now() {
            sleep_until(due.at.into()).await;
        }
        out.clear();
        requests.write(due.number, &mut out);
        stream.write_all(&out).await.context("the server takes no more requests")?;
        read.clear();
        let answer =
            timeout(SILENCE, answer(&mut stream, &mut read)).await.context("the server is silent")??;
        let status = status(&answer, &read);
        let measured = counters.measuring.load(Ordering::Relaxed);
        tally.record(Some(status), measured.then(|| due.at.elapsed()));
        counters.publish(&mut tally);
    }
    Ok(tally)
}

/// Reads one whole answer into `read`.
async fn answer(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<Answer> {
    loop {
        let count = stream.read_buf(read).await.context("the connection broke")?;
        ensure!(count > 0, "the server closed the connection");
        if let Some(answer) = head(read)?
            && read.len() >= answer.length
        {
            return Ok(answer);
        }
    }
}

/// The head of an answer, once it is all there.
fn head(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).context("that is no HTTP")? else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = length else { bail!("an answer of unknown length") };
    let length: usize = std::str::from_utf8(length.value)?.parse().context("the length of an answer")?;
    Ok(Some(Answer { http_status: response.code.unwrap_or(0), length: head + length }))
}

/// As gRPC counts: the `code` of a google.rpc.Status in JSON.
fn status(answer: &Answer, bytes: &[u8]) -> u8 {
    if (200..300).contains(&answer.http_status) {
        return 0;
    }
    let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |at| &bytes[at + 4..]);
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = said.and_then(|said| said.get("code")?.as_u64()).and_then(|code| u8::try_from(code).ok());
    code.filter(|code| *code != 0).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(head(whole).unwrap(), Some(Answer { http_status: 200, length: whole.len() }));
        assert_eq!(head(&whole[..20]).unwrap(), None);
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "nobody knows where it ends");
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn a_refusal_is_counted_by_its_code() {
        let refused = b"HTTP/1.1 412 No\r\nContent-Length: 10\r\n\r\n{\"code\":9}";
        let answer = head(refused).unwrap().unwrap();
        assert_eq!(status(&answer, refused), 9);
        let other = b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\noops";
        assert_eq!(status(&head(other).unwrap().unwrap(), other), UNKNOWN);
    }
}
