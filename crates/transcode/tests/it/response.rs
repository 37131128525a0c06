//! What back ends answer, well formed and not.

use stampede_transcode::{ErrorKind, ResponseOptions};

use crate::support::{find, to_json, to_wire};

const SCALARS: &str = "test.rich.v1.Scalars";
const LISTS: &str = "test.rich.v1.Lists";
const MAPS: &str = "test.rich.v1.Maps";
const TREE: &str = "test.rich.v1.Tree";
const KNOWN: &str = "test.rich.v1.Known";

#[test]
fn defaults_are_written_unless_the_field_has_presence() {
    assert_eq!(
        to_json("test.shop.v1.Order", &[], true).unwrap(),
        r#"{"orderId":"","lines":[],"view":"VIEW_UNSPECIFIED","totalMinor":"0"}"#
    );
    assert_eq!(to_json("test.shop.v1.Order", &[], false).unwrap(), "{}");
    assert_eq!(to_json(TREE, &[], true).unwrap(), r#"{"children":[]}"#);
    // A zero that was sent all the same is a zero.
    assert_eq!(to_json(SCALARS, &[0x18, 0], false).unwrap(), "{}");
}

#[test]
fn fields_in_any_order_follow_the_rules_of_the_wire() {
    for (message, wire, json) in [
        (SCALARS, vec![0x18, 1, 0x18, 2], r#"{"anInt32":2}"#),
        (SCALARS, vec![0x68, 1, 0x18, 2], r#"{"anInt32":2,"aBool":true}"#),
        (LISTS, vec![0x1a, 1, 1, 0x68, 1, 0x18, 2, 0x1a, 2, 3, 4], r#"{"int32s":[1,2,3,4],"bools":[true]}"#),
        (TREE, vec![0x0a, 2, 0x18, 1, 0x0a, 2, 0x68, 1], r#"{"scalars":{"anInt32":1,"aBool":true}}"#),
        (TREE, vec![0x22, 1, b'a', 0x28, 1], r#"{"number":"1"}"#),
        (TREE, vec![0x32, 2, 0x28, 1, 0x28, 1, 0x32, 2, 0x38, 1], r#"{"branch":{"flag":true}}"#),
        (TREE, vec![0x32, 2, 0x38, 1, 0x32, 3, 0x0a, 1, 0x00], "bad"),
        (
            MAPS,
            vec![0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'1', 0x0a, 6, 0x12, 1, b'2', 0x0a, 1, b'a'],
            r#"{"strings":{"a":"2"}}"#,
        ),
        (MAPS, vec![0x0a, 0, 0x12, 0], r#"{"strings":{"":""},"messages":{"0":{}}}"#),
        (KNOWN, vec![0x2a, 9, 0x1a, 1, b'x', 0x20, 1, 0x1a, 2, b'y', b'z'], r#"{"value":"yz"}"#),
    ] {
        match to_json(message, &wire, false) {
            Ok(text) => assert_eq!(text, json, "{wire:?}"),
            Err(error) => assert_eq!(json, "bad", "{wire:?}: {error}"),
        }
    }
}

#[test]
fn what_the_schema_does_not_know_is_dropped() {
    // Unknown numbers of every wire type, a nested group, and a known number with another wire type.
    let wire = [
        0xd0, 0x0f, 1, 0xd1, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0xd2, 0x0f, 1, 9, 0xd3, 0x0f, 0x0b, 0x0c, 0xd4,
        0x0f, 0xd5, 0x0f, 0, 0, 0, 0, 0x1d, 0, 0, 0, 0, 0x68, 1,
    ];
    assert_eq!(to_json(SCALARS, &wire, false).unwrap(), r#"{"aBool":true}"#);
}

#[test]
fn values_without_a_canonical_form_are_errors_not_inventions() {
    for (message, wire) in [
        (SCALARS, vec![0x72, 1, 0xff]),
        (SCALARS, vec![0x72, 2, b'a']),
        (SCALARS, vec![0x18]),
        (SCALARS, vec![0x18, 0x80]),
        (SCALARS, vec![0x00, 0x00]),
        (SCALARS, vec![0x0c]),
        (SCALARS, vec![0x0f]),
        (SCALARS, vec![0xd3, 0x0f]),
        (KNOWN, vec![0x0a, 11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0]),
        (KNOWN, vec![0x12, 4, 0x08, 1, 0x10, 0xff]),
        (KNOWN, vec![0x1a, 3, 0x0a, 1, b'A']),
        (KNOWN, vec![0x2a, 9, 0x11, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]),
    ] {
        assert!(to_json(message, &wire, true).is_err(), "{message} {wire:?}");
    }
    let error = to_json(TREE, &[0x42, 4, 0x22, 2, 0xff, 0xff], true).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::InvalidUtf8, "children[0].text"));
}

#[test]
fn depth_is_bounded_and_disorder_does_not_multiply_the_work() {
    let mut wire = vec![0x38, 1, 0x22, 0];
    for _ in 0..100 {
        let mut outer = Vec::new();
        // A child, and then something with a smaller number: every level is out of order.
        outer.push(0x42);
        prost::encoding::encode_varint(wire.len() as u64, &mut outer);
        outer.extend_from_slice(&wire);
        outer.extend_from_slice(&[0x0a, 0]);
        wire = outer;
    }
    assert!(to_json(TREE, &wire, false).unwrap().starts_with(r#"{"scalars":{},"children":[{"scalars""#));
    let mut deeper = vec![0x42];
    prost::encoding::encode_varint(wire.len() as u64, &mut deeper);
    deeper.extend_from_slice(&wire);
    assert_eq!(to_json(TREE, &deeper, false).unwrap_err().kind, ErrorKind::TooDeep);
}

#[test]
fn a_status_shows_its_details() {
    let json = r#"{"code":5,"message":"No.","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"GONE","domain":"shop","metadata":{"sku":"A"}},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}]}"#;
    let wire = to_wire("google.rpc.Status", json).unwrap();
    assert_eq!(to_json("google.rpc.Status", &wire, true).unwrap(), json);
    // A type nobody has described keeps its name and its bytes.
    let wire = [0x1a, 9, 0x0a, 3, b'x', b'/', b'y', 0x12, 2, 1, 2];
    assert_eq!(
        to_json("google.rpc.Status", &wire, false).unwrap(),
        r#"{"details":[{"@type":"x/y","value":"AQI="}]}"#
    );
}

#[test]
fn response_body_is_one_field() {
    let wire =
        to_wire("test.shop.v1.ListOrdersResponse", r#"{"orders":[{"orderId":"1"}],"nextPageToken":"t"}"#)
            .unwrap();
    let found = find("GET", "/v1/orders");
    let mut out = Vec::new();
    found.route.response(&wire, &ResponseOptions { emit_defaults: false }, &mut out).unwrap();
    assert_eq!(out, br#"[{"orderId":"1"}]"#);
    out.clear();
    found.route.response(&[], &ResponseOptions::default(), &mut out).unwrap();
    assert_eq!(out, b"[]");
}
