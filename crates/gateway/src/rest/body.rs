//! Reading a request body within its limits of size and time. It never holds more than the limit, and a body nobody wants is
//! drained for a while, so that its sender gets to read the answer instead of a reset.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use stampede_kit as kit;
use stampede_proto::common::v1::ErrorReason;

use crate::errors::{Problem, refusal};
use crate::stream::LINES;

/// What is thrown away of an unwanted body, and for how long, before the connection is given up.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// A body this small has come with its headers; nobody has to wait for it.
const SMALL_BYTES: u64 = 4 * 1024;

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub bytes: usize,
    pub time: Duration,
}

/// What a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Lines,
}

impl Content {
    fn types(self) -> &'static [&'static str] {
        match self {
            Content::Json => &["application/json"],
            Content::Lines => &LINES,
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Content::Json => "the body has to be application/json in UTF-8",
            Content::Lines => "the body has to be application/x-ndjson in UTF-8, one message a line",
        }
    }
}

/// Refuses a body of another media type, by its headers. One that does not say what it is passes.
pub(crate) fn check_media_type(headers: &HeaderMap, content: Content) -> Result<(), Problem> {
    if let Some(value) = headers.get(CONTENT_TYPE).filter(|value| !is_of(value, content.types())) {
        let found = String::from_utf8_lossy(value.as_bytes()).into_owned();
        return Err(refusal(ErrorReason::MediaType, content.wanted()).metadata("content_type", found).into());
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(refusal(ErrorReason::MediaType, "a compressed body is not taken").into());
    }
    Ok(())
}

/// The whole body.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, limits: Limits) -> Result<Bytes, Problem> {
    if announced(headers).is_some_and(|length| length > limits.bytes as u64) {
        discard(headers, body);
        return Err(too_large(limits.bytes));
    }
    let reading = collect(&mut body, limits.bytes);
    match tokio::time::timeout(limits.time, reading).await {
        Ok(Err(Stop::TooLarge)) => {
            discard(headers, body);
            Err(too_large(limits.bytes))
        }
        Ok(Err(Stop::Cut)) => Err(refusal(ErrorReason::InvalidArgument, "the body ended early").into()),
        Ok(Ok(bytes)) => Ok(bytes),
        Err(_) => Err(too_slow("the body", limits.time)),
    }
}

/// Throws away a body whose request was refused, in the background: the answer does not wait for it.
pub(crate) fn discard(headers: &HeaderMap, mut body: Body) {
    // Who waits for "100 Continue" has not sent the body and will not.
    if body.is_end_stream()
        || headers.contains_key(EXPECT)
        || announced(headers).is_some_and(|length| length <= SMALL_BYTES)
    {
        return;
    }
    kit::task::spawn("drain", async move {
        let mut left = DRAIN_BYTES;
        let drained = tokio::time::timeout(DRAIN_TIME, async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if left == 0 {
                    break;
                }
            }
        });
        // Who is slower loses the connection, which was refused anyway.
        drained.await.ok();
    });
}

enum Stop {
    TooLarge,
    Cut,
}

/// A body that comes as one piece is not copied.
async fn collect(body: &mut Body, limit: usize) -> Result<Bytes, Stop> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Stop::Cut)?.into_data() else { continue };
        if first.len() + joined.len() + data.len() > limit {
            return Err(Stop::TooLarge);
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_of(value: &HeaderValue, types: &[&str]) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let essence =
        parts.next().is_some_and(|found| types.iter().any(|known| found.eq_ignore_ascii_case(known)));
    essence && parts.all(|parameter| !is_foreign_charset(parameter))
}

fn is_foreign_charset(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset")
            && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

pub(super) fn too_slow(what: &str, time: Duration) -> Problem {
    let text = format!("{what} took longer than {} ms to arrive", time.as_millis());
    Problem::from(refusal(ErrorReason::DeadlineExceeded, text)).with_status(StatusCode::REQUEST_TIMEOUT)
}

pub(super) fn too_large(limit: usize) -> Problem {
    refusal(ErrorReason::MessageTooLarge, format!("the body is larger than {limit} bytes"))
        .metadata("limit_bytes", limit.to_string())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_utf8_is_the_one_media_type() {
        for good in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert!(is_of(&HeaderValue::from_static(good), Content::Json.types()), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", ""]
        {
            assert!(!is_of(&HeaderValue::from_static(bad), Content::Json.types()), "{bad}");
        }
        assert!(is_of(&HeaderValue::from_static("application/x-ndjson"), Content::Lines.types()));
        assert!(!is_of(&HeaderValue::from_static("application/json"), Content::Lines.types()));
    }
}
