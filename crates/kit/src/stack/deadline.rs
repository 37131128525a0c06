//! `grpc-timeout`: reading it, shrinking it and writing it. A deadline only ever shrinks on its way.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Code;

use crate::refusal::{Refusal, reason};

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The specification allows at most eight digits.
const MAX_DIGITS: usize = 8;

/// When a call has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(pub Instant);

/// A header that is not a timeout.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What the caller allows, `None` when it says nothing.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Malformed)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(Malformed)?;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let amount: u64 = digits.parse().map_err(|_| Malformed)?;
    match unit {
        "H" => Ok(Some(Duration::from_secs(amount * 3600))),
        "M" => Ok(Some(Duration::from_secs(amount * 60))),
        "S" => Ok(Some(Duration::from_secs(amount))),
        "m" => Ok(Some(Duration::from_millis(amount))),
        "u" => Ok(Some(Duration::from_micros(amount))),
        "n" => Ok(Some(Duration::from_nanos(amount))),
        _ => Err(Malformed),
    }
}

/// When a call that comes in now has to be over: what its caller allows, at most what the contract does.
pub(super) fn shrunk(headers: &HeaderMap, longest: Duration) -> Result<Deadline, Refusal> {
    let asked = read(headers).map_err(|Malformed| {
        Refusal::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, "the header grpc-timeout is malformed")
            .field("grpc-timeout", "must be up to eight digits and a unit")
    })?;
    let allowed = asked.map_or(longest, |asked| asked.min(longest));
    if allowed.is_zero() {
        return Err(Refusal::deadline_exceeded());
    }
    Ok(Deadline(Instant::now() + allowed))
}

/// Gives an outgoing call a deadline when it has none.
pub(crate) fn ensure(headers: &mut HeaderMap, default: impl FnOnce() -> Duration) {
    if !headers.contains_key(GRPC_TIMEOUT) {
        headers.insert(GRPC_TIMEOUT, write(default()));
    }
}

fn write(timeout: Duration) -> HeaderValue {
    let largest = 10_u128.pow(8) - 1;
    let text = [(timeout.as_micros(), 'u'), (timeout.as_millis(), 'm'), (u128::from(timeout.as_secs()), 'S')]
        .into_iter()
        .find(|(amount, _)| *amount <= largest)
        .map_or_else(|| format!("{largest}S"), |(amount, unit)| format!("{amount}{unit}"));
    HeaderValue::try_from(text).expect("digits and a letter are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn every_unit_of_the_specification_is_read() {
        for (text, millis) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4), ("5000u", 5), ("6000000n", 6)]
        {
            assert_eq!(read(&headers(text)), Ok(Some(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!(read(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn what_is_not_a_timeout_is_malformed() {
        for text in ["", "S", "1", "1x", "-1S", "123456789S", "1 S", "1.5S"] {
            assert_eq!(read(&headers(text)), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn a_written_timeout_reads_back() {
        for timeout in [Duration::from_micros(1), Duration::from_millis(250), Duration::from_secs(3600)] {
            let mut headers = HeaderMap::new();
            ensure(&mut headers, || timeout);
            assert_eq!(read(&headers), Ok(Some(timeout)));
        }
    }

    #[test]
    fn a_deadline_already_set_is_kept() {
        let mut headers = headers("1S");
        ensure(&mut headers, || Duration::from_secs(9));
        assert_eq!(read(&headers), Ok(Some(Duration::from_secs(1))));
    }
}
