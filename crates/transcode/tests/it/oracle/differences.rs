//! Where this crate differs from the oracle on purpose. Everything that is not here must be the same.
//!
//! | what | ours | prost-reflect | why |
//! | --- | --- | --- | --- |
//! | a field, map key or `Struct` key twice | refused | the last wins | RFC 8259 leaves it open; two readers that differ are a hole |
//! | a float out of range as text, `inf` | refused | infinity | only `Infinity` is in the specification |
//! | `"1e1"`, `"1.0"` for an integer or a map's key | 10, 1 | refused | the specification takes exponents "in either form" |
//! | `9007199254740993.0` for an integer | exact | through a double | integers never go through a float |
//! | `1.0` for an enum | the value 1 | refused | an integer in another spelling |
//! | `a,,b` for a field mask | refused | `a,b` | an empty path names nothing |
//! | a 60th second | refused | the 59th | the instant does not exist |
//! | a time with `t` and `z` | taken | refused | RFC 3339 takes both |
//! | ten digits of a fraction | refused | cut | nine is what there is room for |
//! | an Any `{}` | the empty Any | refused | it is what the empty Any is written as |
//! | `0` for `NullValue` | taken | refused | enums are taken by number |
//! | a blank body | `{}` | refused | a request without fields |
//! | deeper than 100 | refused | taken | what prost could not read again |
//! | a number that is not finite in a wrapper | its word | null | the wrapper's JSON is that of its value |
//! | a duration of two signs, to JSON | refused | another duration | the specification forbids it |
//! | an Any of a type nobody has described, to JSON | its bytes | refused | the rest of the message can be shown |
//! | aliases of an enum, to JSON | the one declared first | any of them | what C++ and Java write |
//! | floats, from JSON | exact | may miss the last digit | serde_json's quick parser |

use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions, Value};

use super::judge::{as_text, oracle_reads};
use crate::support::{POOL, to_json, to_wire};

fn ours(message: &str, json: &str) -> Option<String> {
    let wire = to_wire(message, json).ok()?;
    Some(to_json(message, &wire, false).unwrap())
}

fn theirs(message: &str, json: &str) -> Option<String> {
    let descriptor = POOL.get_message_by_name(message).unwrap();
    oracle_reads(&descriptor, json).ok().map(|message| as_text(&message, false, false))
}

#[test]
fn what_is_read_differs_from_the_oracle_here_and_for_these_reasons() {
    for (message, json, our, their) in [
        ("Scalars", r#"{"anInt32":1,"anInt32":2}"#, None, Some(r#"{"anInt32":2}"#)),
        ("Scalars", r#"{"anInt32":1,"an_int32":2}"#, None, Some(r#"{"anInt32":2}"#)),
        ("Maps", r#"{"strings":{"a":"1","a":"2"}}"#, None, Some(r#"{"strings":{"a":"2"}}"#)),
        ("Known", r#"{"structure":{"a":1,"a":2}}"#, None, Some(r#"{"structure":{"a":2.0}}"#)),
        ("Scalars", r#"{"aFloat":"1e39"}"#, None, Some(r#"{"aFloat":"Infinity"}"#)),
        ("Scalars", r#"{"aDouble":"inf"}"#, None, Some(r#"{"aDouble":"Infinity"}"#)),
        ("Scalars", r#"{"anInt32":"1e1"}"#, Some(r#"{"anInt32":10}"#), None),
        ("Maps", r#"{"colors":{"139E0":-1}}"#, Some(r#"{"colors":{"139":-1}}"#), None),
        ("Scalars", r#"{"anInt64":"1.0"}"#, Some(r#"{"anInt64":"1"}"#), None),
        (
            "Scalars",
            r#"{"anInt64":9007199254740993.0}"#,
            Some(r#"{"anInt64":"9007199254740993"}"#),
            Some(r#"{"anInt64":"9007199254740994"}"#),
        ),
        ("Scalars", r#"{"color":1.0}"#, Some(r#"{"color":"COLOR_RED"}"#), None),
        ("Known", r#"{"mask":"a,,b"}"#, None, Some(r#"{"mask":"a,b"}"#)),
        ("Known", r#"{"time":"2024-01-01T00:00:60Z"}"#, None, Some(r#"{"time":"2024-01-01T00:00:59Z"}"#)),
        ("Known", r#"{"time":"2024-01-01t00:00:00z"}"#, Some(r#"{"time":"2024-01-01T00:00:00Z"}"#), None),
        ("Known", r#"{"duration":"1.0000000000s"}"#, None, Some(r#"{"duration":"1s"}"#)),
        ("Known", r#"{"any":{}}"#, Some(r#"{"any":{}}"#), None),
        ("Known", r#"{"null":0}"#, Some("{}"), None),
        ("Scalars", "", Some("{}"), None),
    ] {
        let message = format!("test.rich.v1.{message}");
        assert_eq!(ours(&message, json).as_deref(), our, "ours: {json}");
        assert_eq!(theirs(&message, json).as_deref(), their, "the oracle: {json}");
    }
    let deep = format!("{}{{}}{}", "{\"branch\":".repeat(101), "}".repeat(101));
    assert_eq!(ours("test.rich.v1.Tree", &deep), None);
    assert!(theirs("test.rich.v1.Tree", &deep).is_some());
}

#[test]
fn what_is_written_differs_from_the_oracle_here_and_for_these_reasons() {
    let known = POOL.get_message_by_name("test.rich.v1.Known").unwrap();
    let inside = |field: &str, inner: &[(u32, Value)]| {
        let mut message = DynamicMessage::new(known.clone());
        let field = known.get_field_by_name(field).unwrap();
        let mut value = DynamicMessage::new(field.kind().as_message().unwrap().clone());
        inner.iter().for_each(|(number, inner)| value.set_field_by_number(*number, inner.clone()));
        message.set_field(&field, Value::Message(value));
        message
    };
    let any = [(1, Value::String("x/none.Such".into())), (2, Value::Bytes(vec![1, 2].into()))];
    for (message, our, their) in [
        (
            inside("a_double", &[(1, Value::F64(f64::INFINITY))]),
            Some(r#"{"aDouble":"Infinity"}"#),
            Some(r#"{"aDouble":null}"#),
        ),
        (
            inside("duration", &[(1, Value::I64(1)), (2, Value::I32(-1))]),
            None,
            Some(r#"{"duration":"-0.999999999s"}"#),
        ),
        (inside("any", &any), Some(r#"{"any":{"@type":"x/none.Such","value":"AQI="}}"#), None),
    ] {
        let ours = to_json(known.full_name(), &message.encode_to_vec(), false).ok();
        assert_eq!(ours.as_deref(), our);
        let mut theirs = Vec::new();
        let mut to = serde_json::Serializer::new(&mut theirs);
        let written = message.serialize_with_options(&mut to, &SerializeOptions::new());
        assert_eq!(written.ok().map(|()| String::from_utf8(theirs).unwrap()).as_deref(), their);
    }
}
