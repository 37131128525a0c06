//! One request through one transcoder, and what became of it: what the backend got and what the client read.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Value;
use stampede_kit::task;
use stampede_transcode::Route;
use tokio::net::TcpStream;

use super::cases::{Case, Reply};
use super::recorder::Recorder;
use super::sample;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A message longer than this is not shown whole.
const SHOWN: usize = 240;

/// A request about to be sent.
pub struct Exchange<'a> {
    pub route: &'a Route,
    pub case: &'a Case,
    pub recorder: &'a Recorder,
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Outcome {
    status: u16,
    got: Got,
    /// What the client read, when the call went well.
    answer: Value,
}

/// What the backend got.
#[derive(Debug, Clone, PartialEq)]
enum Got {
    Nothing,
    Call(String, DynamicMessage),
    /// The REST request itself, or bytes that are no message.
    Else(String),
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        (self.status, &self.got, &self.answer) == (other.status, &other.got, &other.answer)
    }
}

impl Exchange<'_> {
    pub async fn with(&self, address: SocketAddr) -> anyhow::Result<Outcome> {
        let method = self.route.descriptor();
        self.recorder.expect(&reply(&method.output(), self.case.reply)?);
        let sent = tokio::time::timeout(ANSWER_WITHIN, send(address, self.case));
        let (status, body) = sent.await.context("no answer in time")??;
        let got = match self.recorder.call() {
            None => Got::Nothing,
            Some(call) if call.path.starts_with("/stampede.") => {
                // Written anew, so that a default that was sent is one that was not.
                let read = DynamicMessage::decode(method.input(), call.message.clone())
                    .and_then(|read| DynamicMessage::decode(method.input(), &read.encode_to_vec()[..]));
                match read {
                    Ok(message) => Got::Call(call.path, message),
                    Err(_) => Got::Else(format!("{} bytes that are no message", call.message.len())),
                }
            }
            Some(call) => Got::Else(format!("the REST request itself, {}", call.path)),
        };
        let answer = match status {
            200 => serde_json::from_slice(&body)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
            _ => Value::Null,
        };
        Ok(Outcome { status, got, answer })
    }
}

fn reply(output: &MessageDescriptor, reply: Reply) -> anyhow::Result<Vec<u8>> {
    Ok(match reply {
        Reply::Empty => Vec::new(),
        Reply::Full => {
            let json = sample::message(output);
            DynamicMessage::deserialize(output.clone(), &json)
                .context("a sample that is no message")?
                .encode_to_vec()
        }
    })
}

async fn send(address: SocketAddr, case: &Case) -> anyhow::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    task::spawn("exchange", async move {
        // Seen by the sender too.
        connection.await.ok();
    });
    let mut request =
        Request::builder().method(case.method.clone()).uri(&case.target).header(header::HOST, "bench");
    if case.body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = case.body.clone().unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).with_context(|| case.target.clone())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

impl Outcome {
    /// How two that are not the same differ, in as few words as tell them apart.
    pub fn told_apart(a: &Outcome, b: &Outcome) -> (String, String) {
        let (x, y) = (a.words(), b.words());
        if x != y {
            return (x, y);
        }
        let other = if a.got == b.got { "another answer" } else { "another message" };
        (format!("{x}, {other}"), format!("{y}, {other}"))
    }

    fn words(&self) -> String {
        match &self.got {
            Got::Nothing => format!("{}", self.status),
            Got::Call(..) if self.status == 200 => "takes it".to_owned(),
            Got::Call(..) => format!("takes it and answers {}", self.status),
            Got::Else(_) => "hands it on as it is".to_owned(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match &self.got {
            Got::Nothing => {}
            Got::Call(path, message) => {
                let json = serde_json::to_string(message).unwrap_or_default();
                write!(f, " {path} {}", shown(&json))?;
            }
            Got::Else(what) => write!(f, " {what}")?,
        }
        if self.answer != Value::Null {
            write!(f, " -> {}", shown(&self.answer.to_string()))?;
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}
