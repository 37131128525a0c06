//! Streams of requests over HTTP: NDJSON, every line a message, sent on as it comes and no faster than the service takes it. It holds one
//! line at most. A line that cannot be read ends the call; what was sent before it may have taken effect, as when the caller had gone away.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, Uri};
use http_body::{Body as _, Frame};
use stampede_proto::common::v1::ErrorReason;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use transcode::{Found, Route};

use super::{Binding, FRAME_HEADER, SPARE_BYTES, STRICT, body, call_of, json};
use crate::Gateway;
use crate::admission::Permit;
use crate::call::{self, Sent};
use crate::errors::{Problem, not_read, refusal};
use crate::stream;
use stampede_transcode as transcode;

/// Why the caller's own lines ended the call, for whoever answers it.
#[derive(Clone, Default)]
pub(crate) struct Fault(Arc<OnceLock<Problem>>);

impl Fault {
    /// The caller's fault, when it was one; otherwise what the call ended with.
    pub(crate) fn or(&self, status: Status) -> Problem {
        self.0.get().cloned().unwrap_or_else(|| status.into())
    }
}

/// Calls a method that takes a stream, and answers as it does: with one message, or with a stream of its own.
pub(super) async fn answer(
    gateway: &Arc<Gateway>,
    binding: &Binding,
    route: &Route,
    parts: &Parts,
    body: Body,
    (id, permit): (&HeaderValue, Permit),
) -> Result<Response<Body>, Problem> {
    let fault = Fault::default();
    let lines = Sent::Lines(Box::new(Lines::new(gateway.clone(), parts, body, fault.clone())));
    let call = call_of(&binding.target, &parts.headers, lines, id);
    if route.is_server_streaming() {
        let messages = call.open().await.map_err(|status| fault.or(status))?;
        return Ok(stream::feed(gateway, binding, route.index(), parts, (messages, fault, permit)));
    }
    let message = call.unary().await.map_err(|status| fault.or(status))?;
    json(route, &message)
}

/// A request body whose lines become the messages of a call.
pub(crate) struct Lines {
    gateway: Arc<Gateway>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
    ended: bool,
    /// What has come of the next line, and how much of it was searched for its end.
    buffered: BytesMut,
    searched: usize,
    /// Of the line last taken, from 1.
    number: u64,
    /// When the line that has begun has to be whole.
    due: Pin<Box<Sleep>>,
    fault: Fault,
}

impl Lines {
    fn new(gateway: Arc<Gateway>, parts: &Parts, body: Body, fault: Fault) -> Self {
        let due = Box::pin(tokio::time::sleep(gateway.body.time));
        let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        let (buffered, searched, number) = (BytesMut::new(), 0, 0);
        Lines { gateway, method, uri, headers, body, ended: false, buffered, searched, number, due, fault }
    }

    /// The next line that is whole; the last one needs no line break.
    fn line(&mut self) -> Option<Bytes> {
        let end = self.buffered[self.searched..].iter().position(|byte| *byte == b'\n');
        let line = match end {
            Some(length) => self.buffered.split_to(self.searched + length + 1),
            None if self.ended && !self.buffered.is_empty() => self.buffered.split(),
            None => {
                self.searched = self.buffered.len();
                return None;
            }
        };
        self.searched = 0;
        self.number += 1;
        Some(line.freeze())
    }

    /// A line as the message of the route, with its frame.
    fn message(&self, line: &[u8]) -> Result<Bytes, Problem> {
        let Found::Match(matched) = self.gateway.routes.router.find(&self.method, self.uri.path()) else {
            return Err(Problem::route_not_found());
        };
        let mut frame = Vec::with_capacity(FRAME_HEADER + line.len() + SPARE_BYTES);
        frame.resize(FRAME_HEADER, 0);
        let read = matched.request(self.uri.query(), line, &STRICT, &mut frame);
        read.map_err(|error| not_read(error).metadata("line", self.number.to_string()))?;
        Ok(call::seal(frame))
    }

    fn fail(&mut self, problem: Problem) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let status = problem.status().clone();
        self.fault.0.get_or_init(|| problem);
        Poll::Ready(Some(Err(status)))
    }

    /// Takes in what has come. Ready when there may be a line, or at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        let limits = self.gateway.body;
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            // Between lines the stream may rest as long as the call lives.
            if self.buffered.is_empty() {
                return Poll::Pending;
            }
            ready!(self.due.as_mut().poll(cx));
            return Poll::Ready(Err(body::too_slow(&format!("line {}", self.number + 1), limits.time)));
        };
        match frame {
            Some(Ok(frame)) => {
                if self.buffered.is_empty() {
                    self.due.as_mut().reset(Instant::now() + limits.time);
                }
                self.buffered.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                Poll::Ready(Ok(()))
            }
            Some(Err(_)) => {
                self.ended = true;
                Poll::Ready(Err(refusal(ErrorReason::InvalidArgument, "the body ended early").into()))
            }
            None => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let limit = self.gateway.body.bytes;
        loop {
            if let Some(line) = self.line() {
                if line.len() > limit {
                    return self.fail(body::too_large(limit));
                }
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return match self.message(&line) {
                    Ok(message) => Poll::Ready(Some(Ok(Frame::data(message)))),
                    Err(problem) => self.fail(problem),
                };
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if self.buffered.len() > limit {
                return self.fail(body::too_large(limit));
            }
            if let Err(problem) = ready!(self.poll_more(cx)) {
                return self.fail(problem);
            }
        }
    }
}

/// The caller gets to read the answer although it has not sent everything.
impl Drop for Lines {
    fn drop(&mut self) {
        if !self.ended {
            body::discard(&self.headers, std::mem::replace(&mut self.body, Body::empty()));
        }
    }
}
