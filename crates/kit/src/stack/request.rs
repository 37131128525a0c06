//! The way in: field rules are checked on the bytes before a handler sees them. One message is read whole and passed on; a
//! stream of messages is checked one by one as it passes. A method that checks itself gets every message that has its size.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::{Code, Status};

use super::frames::{self, Frames, HEADER_BYTES};
use crate::contract::Method;
use crate::refusal::{Refusal, reason};
use crate::validate::{Rules, Ruleset, Violation};

/// Where a stream leaves the refusal that ended it.
pub(super) type Broken = Arc<OnceLock<Refusal>>;

pub(super) async fn checked(
    request: Request<Body>,
    method: &Method,
    rules: &Arc<Ruleset>,
    message_bytes: usize,
    broken: &Broken,
) -> Result<Request<Body>, Refusal> {
    let (head, mut body) = request.into_parts();
    let body = if method.client_streaming {
        let frames = Frames::new(message_bytes);
        Body::new(CheckedStream {
            inner: body,
            frames,
            rules: (!method.calling.checks_itself).then(|| Rules::new(rules.clone(), method.request)),
            broken: broken.clone(),
        })
    } else {
        let frame = one_message(&mut body, message_bytes).await?;
        if !method.calling.checks_itself {
            sound(rules.check(method.request, &frame[HEADER_BYTES..]))?;
        }
        Body::new(Full::new(frame))
    };
    Ok(Request::from_parts(head, body))
}

fn sound(violations: Vec<Violation>) -> Result<(), Refusal> {
    if violations.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(
        Code::InvalidArgument,
        reason::INVALID_ARGUMENT,
        "the request breaks the rules of its fields",
    );
    Err(violations.into_iter().fold(refusal, |refusal, found| refusal.field(found.path, found.description)))
}

/// Reads a body that has to be exactly one frame. The usual one arrives in one piece and is not copied.
async fn one_message(body: &mut Body, message_bytes: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Bytes::new();
    while let Some(data) = next_data(body).await? {
        bytes = joined(bytes, data);
        let whole = frames::whole(&bytes, message_bytes)?;
        if whole.is_some_and(|length| bytes.len() > length) {
            return Err(malformed("the body holds more than one message"));
        }
    }
    match frames::whole(&bytes, message_bytes)? {
        Some(_) => Ok(bytes),
        None => Err(malformed("the body holds no whole message")),
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    // Growing in place when nobody else holds the bytes keeps a body in many pieces linear.
    let mut all = first.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    all.extend_from_slice(&second);
    all.freeze()
}

async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| lost())?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn lost() -> Refusal {
    Refusal::new(Code::Cancelled, reason::UNAVAILABLE, "the caller went away while sending")
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, text).field("", text)
}

/// A stream of messages, each checked before the handler may read it.
struct CheckedStream {
    inner: Body,
    frames: Frames,
    /// None for a method that checks itself.
    rules: Option<Rules>,
    broken: Broken,
}

impl CheckedStream {
    fn next_checked(&mut self) -> Result<Option<Bytes>, Refusal> {
        let frame = self.frames.next()?;
        if let (Some(rules), Some(frame)) = (&self.rules, &frame) {
            sound(rules.check(&frame[HEADER_BYTES..]))?;
        }
        Ok(frame)
    }

    fn broken(&mut self, refusal: Refusal) -> Status {
        self.inner = Body::empty();
        Status::from(self.broken.get_or_init(|| refusal).clone())
    }
}

impl http_body::Body for CheckedStream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            match self.next_checked() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Some(Err(self.broken(refusal)))),
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.frames.push(&data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None if self.frames.is_empty() => return Poll::Ready(None),
                None => {
                    let refusal = malformed("the stream ends in the middle of a message");
                    self.frames = Frames::new(0);
                    return Poll::Ready(Some(Err(self.broken(refusal))));
                }
            }
        }
    }
}
