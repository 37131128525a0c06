//! What JSON-RPC 2.0 puts around a call. Params and ids stay the text they are; nothing is read twice, and no tree is built.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One call as it came.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub method: Cow<'a, str>,
    /// The JSON of the params.
    pub params: Option<&'a str>,
    /// The JSON of the id; none of a notification.
    pub id: Option<&'a str>,
}

/// A value that is no call.
#[derive(Debug)]
pub(super) struct Invalid<'a> {
    /// Known, when it stands there and is one.
    pub id: Option<&'a str>,
    pub text: String,
}

pub(super) type Read<'a> = Result<Call<'a>, Invalid<'a>>;

/// What a body asks for.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    One(Read<'a>),
    Batch(Vec<Read<'a>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "there")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "there")]
    id: Option<&'a RawValue>,
}

/// Only the id, of a value that is no call otherwise.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default, deserialize_with = "there")]
    id: Option<&'a RawValue>,
}

/// A null that stands there is there.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body.
///
/// # Errors
/// It is no JSON at all.
pub(super) fn read(body: &[u8]) -> Result<Asked<'_>, serde_json::Error> {
    let whole: &RawValue = serde_json::from_slice(body)?;
    if whole.get().starts_with('[') {
        let calls: Vec<&RawValue> = serde_json::from_str(whole.get())?;
        return Ok(Asked::Batch(calls.into_iter().map(|call| one(call.get())).collect()));
    }
    Ok(Asked::One(one(whole.get())))
}

fn one(text: &str) -> Read<'_> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| Invalid {
        id: serde_json::from_str(text)
            .ok()
            .and_then(|named: Named<'_>| named.id)
            .map(RawValue::get)
            .filter(|id| is_id(id)),
        text: format!("this is no call of JSON-RPC 2.0: {error}"),
    })?;
    let Envelope { jsonrpc, method, params, id } = envelope;
    let id = id.map(RawValue::get);
    let wrong = |text: &str| Invalid { id: id.filter(|id| is_id(id)), text: text.to_owned() };
    if jsonrpc != "2.0" {
        return Err(wrong("jsonrpc has to be \"2.0\""));
    }
    if id.is_some_and(|id| !is_id(id)) {
        return Err(wrong("an id is a string, a number or null"));
    }
    Ok(Call { method, params: params.map(RawValue::get), id })
}

fn is_id(json: &str) -> bool {
    !json.starts_with(['{', '[', 't', 'f'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(text: &str) -> Read<'_> {
        match read(text.as_bytes()).unwrap() {
            Asked::One(call) => call,
            Asked::Batch(calls) => panic!("one call, not {calls:?}"),
        }
    }

    #[test]
    fn an_id_of_null_asks_for_an_answer_and_no_id_does_not() {
        assert_eq!(call(r#"{"jsonrpc":"2.0","method":"m","id":null}"#).unwrap().id, Some("null"));
        assert_eq!(call(r#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().id, None);
        let full = call(r#" {"params": {"a":1}, "id":"7", "method":"m\u0041", "jsonrpc":"2.0"} "#).unwrap();
        assert_eq!((&*full.method, full.params, full.id), ("mA", Some(r#"{"a":1}"#), Some("\"7\"")));
    }

    #[test]
    fn what_is_no_call_is_refused_under_its_id_when_it_has_one() {
        for (text, id) in [
            (r#"{"jsonrpc":"1.0","method":"m","id":1}"#, Some("1")),
            (r#"{"jsonrpc":"2.0","method":1,"id":2}"#, Some("2")),
            (r#"{"jsonrpc":"2.0","id":3}"#, Some("3")),
            (r#"{"jsonrpc":"2.0","method":"m","id":{}}"#, None),
            (r#"{"jsonrpc":"2.0","method":"m","id":4,"more":1}"#, Some("4")),
            ("1", None),
        ] {
            assert_eq!(call(text).unwrap_err().id, id, "{text}");
        }
        assert!(read(b"{").is_err());
        assert!(matches!(read(b"[]"), Ok(Asked::Batch(calls)) if calls.is_empty()));
        assert!(matches!(read(b"[1, {}]"), Ok(Asked::Batch(calls)) if calls.iter().all(Result::is_err)));
    }
}
