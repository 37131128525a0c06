//! One gRPC call made of bytes: frames out, frames in, the status from headers or trailers. It never builds a message.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use kit::Refusal;
use kit::client::{Channel, Incoming};
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use tonic::{Code, Status};

use crate::errors::refusal;

/// One byte of flags and four of length stand before every message.
pub(crate) const FRAME_HEADER: usize = 5;
/// The largest message taken from a service.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(crate) const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(crate) const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// A call about to be made: one message out.
pub(crate) struct Call<'a> {
    pub channel: &'a Channel,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The message with its frame header.
    pub frame: Bytes,
    /// When a whole unary call, or the beginning of a stream, is given up.
    pub time: Duration,
}

impl Call<'_> {
    /// Answers with the one message of the response, without its frame header.
    pub(crate) async fn unary(self) -> Result<Bytes, Status> {
        within(self.time, async {
            let mut messages = self.begin().await?;
            let message =
                messages.next().await?.ok_or_else(|| broken("the service answered with no message"))?;
            match messages.next().await? {
                None => Ok(message),
                Some(_) => Err(broken("the service answered with a second message")),
            }
        })
        .await
    }

    /// Answers when the response has begun. A refusal that comes instead of a response is the error.
    pub(crate) async fn open(self) -> Result<Messages, Status> {
        within(self.time, self.begin()).await
    }

    async fn begin(self) -> Result<Messages, Status> {
        let Call { channel, uri, mut headers, frame, time: _ } = self;
        headers.insert(CONTENT_TYPE, APPLICATION_GRPC);
        headers.insert(TE, TRAILERS);
        let mut request = Request::new(frame);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let response = channel.unary(request).await?;
        if response.status() != StatusCode::OK {
            tracing::warn!(status = response.status().as_u16(), "a service answered gRPC with an HTTP error");
            return Err(Refusal::unavailable("a service this call needs does not answer").into());
        }
        let ended = match status(response.headers()) {
            Some(Err(status)) => return Err(status),
            Some(Ok(())) => true,
            None => false,
        };
        Ok(Messages { body: response.into_body(), buffered: Bytes::new(), ended })
    }
}

async fn within<T>(time: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(time, call).await.unwrap_or_else(|_| Err(Refusal::deadline_exceeded().into()))
}

/// The messages of a response, one by one, then its status.
pub(crate) struct Messages<B = Incoming> {
    body: B,
    buffered: Bytes,
    ended: bool,
}

impl<B: http_body::Body<Data = Bytes, Error = Status> + Unpin> Messages<B> {
    /// The next message without its frame header, `None` at a good end. May be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.split()? {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.push(data),
                    Err(frame) => return self.end(frame.into_trailers().ok().as_ref().and_then(status)),
                },
                Some(Err(error)) => return self.end(Some(Err(cut(&error)))),
                None => return self.end(None),
            }
        }
    }

    fn split(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(header) = self.buffered.first_chunk::<FRAME_HEADER>() else { return Ok(None) };
        let [compressed, length @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if compressed != 0 {
            return Err(broken("the service compressed a message, which was not offered"));
        }
        if length > MAX_MESSAGE_BYTES {
            return Err(broken("the service sent a message beyond the limit"));
        }
        if self.buffered.len() < FRAME_HEADER + length {
            return Ok(None);
        }
        self.buffered.advance(FRAME_HEADER);
        Ok(Some(self.buffered.split_to(length)))
    }

    /// Usually a whole message comes as one piece and is never copied.
    fn push(&mut self, data: Bytes) {
        if self.buffered.is_empty() {
            self.buffered = data;
            return;
        }
        let rest = std::mem::take(&mut self.buffered);
        let mut joined = rest.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        joined.extend_from_slice(&data);
        self.buffered = joined.freeze();
    }

    fn end(&mut self, status: Option<Result<(), Status>>) -> Result<Option<Bytes>, Status> {
        self.ended = true;
        match status {
            Some(Ok(())) if self.buffered.is_empty() => Ok(None),
            Some(Ok(())) => Err(broken("the service ended in the middle of a message")),
            Some(Err(status)) => Err(status),
            None => Err(Refusal::unavailable("the answer of a service was cut off").into()),
        }
    }
}

/// Writes the frame header into the bytes kept free for it.
pub(crate) fn seal(mut frame: Vec<u8>) -> Bytes {
    let length = u32::try_from(frame.len() - FRAME_HEADER).expect("a body is limited far below 4 GiB");
    frame[1..FRAME_HEADER].copy_from_slice(&length.to_be_bytes());
    Bytes::from(frame)
}

/// The status in headers or trailers, `None` when there is none.
fn status(headers: &HeaderMap) -> Option<Result<(), Status>> {
    let code = headers.get(GRPC_STATUS)?;
    if code == "0" {
        return Some(Ok(()));
    }
    // Only what makes a status is handed on: other metadata of a service stays inside.
    let mut told = HeaderMap::with_capacity(3);
    told.insert(GRPC_STATUS, code.clone());
    if let Some(message) = headers.get(GRPC_MESSAGE) {
        told.insert(GRPC_MESSAGE, message.clone());
    }
    let decodes = |text: &[u8]| STANDARD.decode(text).is_ok() || STANDARD_NO_PAD.decode(text).is_ok();
    if let Some(details) = headers.get(GRPC_STATUS_DETAILS).filter(|details| decodes(details.as_bytes())) {
        told.insert(GRPC_STATUS_DETAILS, details.clone());
    }
    Some(Err(Status::from_header_map(&told).unwrap_or_else(|| broken("the service sent no readable status"))))
}

/// A response that broke off. What the transport says is for the log.
fn cut(error: &Status) -> Status {
    tracing::debug!(%error, "an answer was cut off");
    if error.code() == Code::DeadlineExceeded {
        Refusal::deadline_exceeded().into()
    } else if error.details().is_empty() {
        Refusal::unavailable("the answer of a service was cut off").into()
    } else {
        error.clone()
    }
}

/// A defect of the service behind; the sentence is for the log.
fn broken(what: &'static str) -> Status {
    tracing::error!("{what}");
    refusal(ErrorReason::Internal, "something went wrong on our side").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::body::Body;

    fn messages(frames: Vec<Frame<Bytes>>) -> Messages<Body> {
        let body = Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Status>))));
        Messages { body, buffered: Bytes::new(), ended: false }
    }

    fn data(bytes: &'static [u8]) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(bytes))
    }

    fn trailers(code: &'static str) -> Frame<Bytes> {
        Frame::trailers(HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(code))]))
    }

    #[tokio::test]
    async fn messages_come_whole_however_the_bytes_are_cut() {
        let frames =
            vec![data(b"\0\0\0\0\x03ab"), data(b"c\0\0"), data(b"\0\0\0\0\0\0\0\x01z"), trailers("0")];
        let mut messages = messages(frames);

        let mut seen = Vec::new();
        while let Some(message) = messages.next().await.unwrap() {
            seen.push(message);
        }

        assert_eq!(seen, [&b"abc"[..], b"", b"z"]);
    }

    #[tokio::test]
    async fn the_status_of_the_trailers_is_the_end() {
        let mut messages = messages(vec![data(b"\0\0\0\0\x01a"), trailers("5")]);

        assert_eq!(messages.next().await.unwrap().unwrap(), "a");
        assert_eq!(messages.next().await.unwrap_err().code(), Code::NotFound);
    }

    #[tokio::test]
    async fn an_end_without_a_status_and_half_a_message_are_errors() {
        let mut silent = messages(vec![data(b"\0\0\0\0\x01a")]);
        silent.next().await.unwrap();
        assert_eq!(silent.next().await.unwrap_err().code(), Code::Unavailable);

        let mut half = messages(vec![data(b"\0\0\0\0\x09a"), trailers("0")]);
        assert_eq!(half.next().await.unwrap_err().code(), Code::Internal);

        let mut compressed = messages(vec![data(b"\x01\0\0\0\x01a"), trailers("0")]);
        assert_eq!(compressed.next().await.unwrap_err().code(), Code::Internal);
    }

    #[test]
    fn a_status_with_unreadable_details_is_still_a_status() {
        let headers = HeaderMap::from_iter([
            (GRPC_STATUS, HeaderValue::from_static("9")),
            (GRPC_STATUS_DETAILS, HeaderValue::from_static("!!!")),
        ]);

        assert_eq!(status(&headers).unwrap().unwrap_err().code(), Code::FailedPrecondition);
    }
}
