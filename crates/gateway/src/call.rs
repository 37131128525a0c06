//! One gRPC call made of bytes: frames out, frames in. It never builds a message.

mod messages;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use kit::Refusal;
use kit::client::Channel;
use stampede_kit as kit;
use tokio::time::error::Elapsed;
use tonic::Status;

use crate::rest::lines::Lines;

pub(crate) use messages::Messages;
use messages::broken;

/// One byte of flags and four of length stand before every message.
pub(crate) const FRAME_HEADER: usize = 5;
pub(crate) const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(crate) const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// What a call sends.
pub(crate) enum Sent {
    /// One message with its frame header.
    Message(Bytes),
    /// The lines of a request body, each a message.
    Lines(Box<Lines>),
}

impl Sent {
    /// A message behind the bytes kept free for its frame header.
    pub(crate) fn message(frame: Vec<u8>) -> Self {
        Sent::Message(seal(frame))
    }
}

/// A call about to be made.
pub(crate) struct Call<'a> {
    pub channel: &'a Channel,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub sent: Sent,
    /// When a call with one answer, or the beginning of a stream, is given up.
    pub time: Duration,
}

impl Call<'_> {
    /// Answers with the one message of the response, without its frame header.
    pub(crate) async fn unary(self) -> Result<Bytes, Status> {
        let call = tokio::time::timeout(self.time, async {
            let mut messages = self.begin().await?;
            let message =
                messages.next().await?.ok_or_else(|| broken("the service answered with no message"))?;
            match messages.next().await? {
                None => Ok(message),
                Some(_) => Err(broken("the service answered with a second message")),
            }
        });
        in_time(call.await)
    }

    /// Answers when the response has begun. A refusal that comes instead of a response is the error.
    pub(crate) async fn open(self) -> Result<Messages, Status> {
        in_time(tokio::time::timeout(self.time, self.begin()).await)
    }

    async fn begin(self) -> Result<Messages, Status> {
        let Call { channel, uri, mut headers, sent, time: _ } = self;
        headers.insert(CONTENT_TYPE, APPLICATION_GRPC);
        headers.insert(TE, TRAILERS);
        let response = match sent {
            Sent::Message(frame) => channel.unary(request(uri, headers, frame)).await?,
            Sent::Lines(lines) => Box::pin(channel.stream(request(uri, headers, *lines))).await?,
        };
        if response.status() != StatusCode::OK {
            tracing::warn!(status = response.status().as_u16(), "a service answered gRPC with an HTTP error");
            return Err(Refusal::unavailable("a service this call needs does not answer").into());
        }
        let ended = match messages::status(response.headers()) {
            Some(Err(status)) => return Err(status),
            Some(Ok(())) => true,
            None => false,
        };
        Ok(Messages::new(response.into_body(), ended))
    }
}

fn in_time<T>(called: Result<Result<T, Status>, Elapsed>) -> Result<T, Status> {
    called.unwrap_or_else(|_| Err(Refusal::deadline_exceeded().into()))
}

fn request<B>(uri: Uri, headers: HeaderMap, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

/// Writes the frame header into the bytes kept free for it.
pub(crate) fn seal(mut frame: Vec<u8>) -> Bytes {
    let length = u32::try_from(frame.len() - FRAME_HEADER).expect("a body is limited far below 4 GiB");
    frame[1..FRAME_HEADER].copy_from_slice(&length.to_be_bytes());
    Bytes::from(frame)
}
