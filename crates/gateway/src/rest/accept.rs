//! Whether an answer may have the media type it has (RFC 9110, 12.5.1). No `Accept` is any.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};
use stampede_proto::common::v1::ErrorReason;

use crate::errors::{Problem, refusal};
use crate::stream::LINES;

const JSON: [&str; 1] = ["application/json"];
const STREAM: [&str; 4] = ["text/event-stream", LINES[0], LINES[1], LINES[2]];

/// Refuses a caller who takes none of what a method answers with. Refusals are JSON all the same.
pub(super) fn check(headers: &HeaderMap, streams: bool) -> Result<(), Problem> {
    let types: &[&str] = if streams { &STREAM } else { &JSON };
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() || values.any(|value| takes(value, types)) {
        return Ok(());
    }
    Err(refusal(ErrorReason::NotAcceptable, format!("the answer is {}", types.join(" or "))).into())
}

fn takes(value: &HeaderValue, types: &[&str]) -> bool {
    // What is no text names nothing; an empty value is as none.
    let Ok(text) = value.to_str() else { return false };
    text.trim().is_empty() || text.split(',').any(|range| covers(range, types))
}

/// One media range. Its weight matters only when it is zero.
fn covers(range: &str, types: &[&str]) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let refused = parts.any(|part| {
        let weight = part.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        weight.is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0))
    });
    let named = |known: &&str| {
        let group = range.strip_suffix("/*");
        range == "*/*"
            || range.eq_ignore_ascii_case(known)
            || group.is_some_and(|group| {
                known.split('/').next().is_some_and(|known| known.eq_ignore_ascii_case(group))
            })
    };
    !refused && types.iter().any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(accept: &'static str, streams: bool) -> bool {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        check(&headers, streams).is_ok()
    }

    #[test]
    fn an_answer_is_of_a_type_that_is_taken() {
        for accept in
            ["*/*", "application/json", "Application/*", "text/html, */*;q=0.1", "", "application/json;v=2"]
        {
            assert!(is_taken(accept, false), "{accept}");
        }
        for accept in ["text/html", "application/json;q=0", "text/*", "application/x-ndjson"] {
            assert!(!is_taken(accept, false), "{accept}");
        }
        for accept in ["text/event-stream", "text/*", "application/jsonl", "*/*"] {
            assert!(is_taken(accept, true), "{accept}");
        }
        assert!(!is_taken("application/json", true));
        assert!(check(&HeaderMap::new(), true).is_ok());
    }
}
