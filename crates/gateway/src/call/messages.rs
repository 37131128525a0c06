//! The messages of a response, one by one, and the status at their end, from headers or trailers. Messages are cut from the bytes as they
//! come; none is built, and none is larger than the limit.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt as _;
use kit::Refusal;
use kit::client::Incoming;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;
use tonic::{Code, Status};

use super::FRAME_HEADER;
use crate::errors::refusal;

/// The largest message taken from a service.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// The messages of a response, one by one, then its status.
pub(crate) struct Messages<B = Incoming> {
    body: B,
    buffered: Bytes,
    ended: bool,
}

impl<B: http_body::Body<Data = Bytes, Error = Status> + Unpin> Messages<B> {
    pub(super) fn new(body: B, ended: bool) -> Self {
        Messages { body, buffered: Bytes::new(), ended }
    }

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

/// The status in headers or trailers, `None` when there is none.
pub(super) fn status(headers: &HeaderMap) -> Option<Result<(), Status>> {
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
pub(super) fn broken(what: &'static str) -> Status {
    tracing::error!("{what}");
    refusal(ErrorReason::Internal, "something went wrong on our side").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http::HeaderValue;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::body::Body;

    fn messages(frames: Vec<Frame<Bytes>>) -> Messages<Body> {
        let body = Body::new(StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Status>))));
        Messages::new(body, false)
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
