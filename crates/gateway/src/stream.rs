//! Server streams over HTTP, message by message: a piece of the body for each, a heartbeat now and then so that nobody in between
//! thinks the line is dead, and the reason at a bad end. How a piece is written is the framing's.

mod framing;
pub(crate) mod query_token;
mod resume;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response};
use kit::Refusal;
use stampede_kit as kit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::Status;

use crate::Gateway;
use crate::admission::Permit;
use crate::call::{Messages, Sent};
use crate::errors::{Language, Problem};
use crate::rest::lines::Fault;
use crate::rest::{self, Binding};
use framing::Framing;
pub(crate) use framing::LINES;
pub(crate) use resume::Resume;

/// Proxies close lines that are silent for half a minute or more.
const HEARTBEAT: Duration = Duration::from_secs(15);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx would hold the events back until its buffer is full.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A refusal before the first message is an ordinary error; after it, an event.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    binding: &Binding,
    route: usize,
    parts: &Parts,
    mut frame: Vec<u8>,
    id: &HeaderValue,
    permit: Permit,
) -> Result<Response<Body>, Problem> {
    let framing = Framing::of_caller(&parts.headers);
    if parts.method == Method::HEAD {
        return Ok(begun(framing, Body::empty()));
    }
    if let Some(last) = parts.headers.get(LAST_EVENT_ID) {
        binding.resume.from(last.as_bytes(), &mut frame);
    }
    let message = Sent::message(frame);
    let messages = rest::call_of(&binding.target, &parts.headers, message, id).open().await?;
    Ok(feed(gateway, binding, route, parts, (messages, Fault::default(), permit)))
}

/// The answer of a call that has begun to answer.
pub(crate) fn feed(
    gateway: &Arc<Gateway>,
    binding: &Binding,
    route: usize,
    parts: &Parts,
    (messages, fault, permit): (Messages, Fault, Permit),
) -> Response<Body> {
    let framing = Framing::of_caller(&parts.headers);
    // The first beat comes after one interval: a beat at once would only cost.
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let feed = Feed {
        gateway: gateway.clone(),
        framing,
        resume: binding.resume,
        route,
        messages,
        fault,
        heartbeat,
        language: Language::of_caller(&parts.headers),
        ended: false,
        _permit: permit,
    };
    let events = futures::stream::unfold(feed, |mut feed| async {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    begun(framing, Body::from_stream(events))
}

fn begun(framing: Framing, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, framing.media_type());
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// One open feed. It reads no further than its client does.
struct Feed {
    gateway: Arc<Gateway>,
    framing: Framing,
    resume: Resume,
    route: usize,
    messages: Messages,
    fault: Fault,
    heartbeat: Interval,
    language: Language,
    ended: bool,
    _permit: Permit,
}

impl Feed {
    /// The next piece of the body, `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let message = tokio::select! {
            biased;
            // First, or a feed that is never silent would never hear it.
            () = self.gateway.stop.cancelled() => Err(stopping()),
            message = self.messages.next() => message,
            _ = self.heartbeat.tick() => return Some(Bytes::from_static(self.framing.heartbeat())),
        };
        self.heartbeat.reset();
        match message {
            Ok(None) => None,
            Ok(Some(message)) => Some(self.piece(&message)),
            Err(status) => Some(self.error(self.fault.or(status).status())),
        }
    }

    fn piece(&mut self, message: &[u8]) -> Bytes {
        let mut piece = Vec::with_capacity(message.len() * 4 + 64);
        self.framing.open(self.resume.token(message), &mut piece);
        match self.gateway.routes.route(self.route).response(message, &rest::COMPLETE, &mut piece) {
            Ok(()) => {
                self.framing.close(&mut piece);
                Bytes::from(piece)
            }
            Err(error) => self.error(rest::unreadable(&error).status()),
        }
    }

    fn error(&mut self, status: &Status) -> Bytes {
        self.ended = true;
        self.framing.error(&self.gateway.errors.body(status, self.language))
    }
}

/// A feed is told when the process drains; its client comes back to another one.
pub(crate) fn stopping() -> Status {
    Refusal::unavailable("this gateway is stopping; connect again").retry_after(Duration::from_secs(1)).into()
}
