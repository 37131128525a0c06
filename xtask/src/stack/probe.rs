//! One question over plain HTTP: are you ready? It follows nothing and reads little.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A reason longer than this is cut.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Asks `path`; the error says why not, in the process's own words.
pub fn ready(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).context("nobody listens yet")?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX_BYTES).read_to_string(&mut answer).context("it does not answer")?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    bail!("it answers {status}: {body}")
}
