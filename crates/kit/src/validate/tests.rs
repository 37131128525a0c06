//! Rules against bytes. Messages are written as JSON and encoded by prost-reflect, which knows nothing of the walk; what no
//! encoder would write is written by hand.

use std::sync::Arc;

use prost::Message as _;
use prost_reflect::DynamicMessage;

use crate::contract::Contract;
use crate::contract::fixture::with_ask;

fn contract(messages: &str) -> Arc<Contract> {
    with_ask(messages).unwrap()
}

fn check_bytes(contract: &Contract, bytes: &[u8]) -> Vec<String> {
    let method = contract.method("/test.v1.Desk/Ask").unwrap();
    let found = contract.rules().check(method.request, bytes);
    found.into_iter().map(|violation| format!("{}: {}", violation.path, violation.description)).collect()
}

fn check(contract: &Contract, json: &str) -> Vec<String> {
    let message = contract.pool().get_message_by_name("test.v1.Ask").unwrap();
    let message =
        DynamicMessage::deserialize(message, &mut serde_json::Deserializer::from_str(json)).unwrap();
    check_bytes(contract, &message.encode_to_vec())
}

const ORDER: &str = r#"
    message Ask {
      string id = 1 [(buf.validate.field).string.uuid = true];
      repeated Line lines = 2 [(buf.validate.field).repeated = { min_items: 1 max_items: 2 }];
      Address address = 3 [(buf.validate.field).required = true];
      optional string note = 4 [(buf.validate.field).string = { min_len: 2 max_len: 4 }];
      Kind kind = 5 [(buf.validate.field).enum = { defined_only: true not_in: [0] }];
    }
    message Line {
      string sku = 1 [(buf.validate.field).string.pattern = "^[A-Z]{2}$"];
      uint32 quantity = 2 [(buf.validate.field).uint32 = { gte: 1 lte: 5 }];
    }
    message Address { string city = 1 [(buf.validate.field).string.min_len = 1]; }
    enum Kind { KIND_UNSPECIFIED = 0; KIND_SHELF = 1; KIND_FLASH = 2; }
"#;
const ID: &str = "0190b2c4-7e1f-7abc-8def-0123456789ab";

#[test]
fn a_request_that_keeps_every_rule_has_no_violation() {
    let good = format!(
        r#"{{"id":"{ID}","lines":[{{"sku":"AB","quantity":1}},{{"sku":"CD","quantity":5}}],"address":{{"city":"X"}},"note":"äöüß","kind":1}}"#
    );
    assert_eq!(check(&contract(ORDER), &good), [""; 0]);
}

#[test]
fn every_broken_rule_is_told_with_its_path() {
    let bad = r#"{"id":"7","lines":[{"sku":"AB","quantity":6},{"sku":"abc"},{"sku":"AB","quantity":1}],"address":{},"note":"toolong","kind":7}"#;
    assert_eq!(
        check(&contract(ORDER), bad),
        [
            "id: must be a UUID",
            "lines[0].quantity: must be at most 5",
            "lines[1].sku: must match ^[A-Z]{2}$",
            "lines[1].quantity: must be at least 1",
            "address.city: must have at least 1 characters",
            "note: must have at most 4 characters",
            "kind: must be a value its enum names",
            "lines: must have at most 2 items",
        ]
    );
}

#[test]
fn an_empty_request_breaks_what_zero_breaks_and_what_is_required() {
    assert_eq!(
        check_bytes(&contract(ORDER), b""),
        [
            "id: must be a UUID",
            "lines: must have at least 1 items",
            "address: is required",
            "kind: must not be 0",
        ]
    );
}

#[test]
fn a_field_with_presence_is_checked_only_when_it_is_set() {
    let contract = contract(
        r#"message Ask {
            optional uint32 a = 1 [(buf.validate.field).uint32.gte = 3];
            oneof which { string b = 2 [(buf.validate.field).string.min_len = 1]; bool c = 3; }
        }"#,
    );
    assert_eq!(check(&contract, "{}"), [""; 0]);
    assert_eq!(check(&contract, r#"{"a":0}"#), ["a: must be at least 3"]);
    assert_eq!(check(&contract, r#"{"b":""}"#), ["b: must have at least 1 characters"]);
}

#[test]
fn required_means_set_or_not_zero() {
    let contract = contract(
        r#"message Ask {
            uint32 a = 1 [(buf.validate.field).required = true];
            optional uint32 b = 2 [(buf.validate.field).required = true];
            repeated uint32 c = 3 [(buf.validate.field).required = true];
            oneof which { option (buf.validate.oneof).required = true; string d = 4; bool e = 5; }
        }"#,
    );
    let all = [
        "a: is required",
        "b: is required",
        "c: is required",
        "which: exactly one of its fields is required",
    ];
    assert_eq!(check(&contract, "{}"), all);
    assert_eq!(check(&contract, r#"{"a":1,"b":0,"c":[0],"e":false}"#), [""; 0]);
    // Zero after one is zero: the last value counts.
    assert_eq!(check_bytes(&contract, &[8, 1, 8, 0]), all);
}

#[test]
fn zero_may_be_left_out_of_a_rule() {
    let contract = contract(
        r#"message Ask {
            uint32 a = 1 [(buf.validate.field) = { ignore: IGNORE_IF_ZERO_VALUE uint32: { gte: 3 } }];
            repeated uint32 b = 2 [(buf.validate.field) = { ignore: IGNORE_IF_ZERO_VALUE repeated: { min_items: 2 } }];
        }"#,
    );
    assert_eq!(check(&contract, "{}"), [""; 0]);
    assert_eq!(
        check(&contract, r#"{"a":1,"b":[1]}"#),
        ["a: must be at least 3", "b: must have at least 2 items"]
    );
}

#[test]
fn every_width_of_number_is_read_as_a_decoder_reads_it() {
    let contract = contract(
        r#"message Ask {
            int32 a = 1 [(buf.validate.field).int32.gt = -3];
            int64 b = 2 [(buf.validate.field).int64 = { gte: -9223372036854775808 lte: -2 }];
            uint64 c = 3 [(buf.validate.field).uint64.lte = 9223372036854775808];
            sint32 d = 4 [(buf.validate.field).sint32.lt = -1];
            sint64 e = 5 [(buf.validate.field).sint64.const = -5];
            fixed32 f = 6 [(buf.validate.field).fixed32 = { in: [7, 9] }];
            sfixed64 g = 7 [(buf.validate.field).sfixed64 = { not_in: [-1] }];
            double h = 8 [(buf.validate.field).double = { gt: 0.5 finite: true }];
            float i = 9 [(buf.validate.field).float.lte = 1.5];
        }"#,
    );
    let good = r#"{"a":-2,"b":"-9223372036854775808","c":"9223372036854775808","d":-2,"e":"-5","f":9,"g":"1","h":0.75,"i":1.5}"#;
    assert_eq!(check(&contract, good), [""; 0]);
    let bad =
        r#"{"a":-3,"b":"-1","c":"9223372036854775809","d":-1,"e":"5","f":8,"g":"-1","h":"Infinity","i":2}"#;
    assert_eq!(
        check(&contract, bad),
        [
            "a: must be greater than -3",
            "b: must be at most -2",
            "c: must be at most 9223372036854775808",
            "d: must be less than -1",
            "e: must be equal to -5",
            "f: must be one of [7, 9]",
            "g: must not be -1",
            "h: must be a finite number",
            "i: must be at most 1.5",
        ]
    );
    assert_eq!(check(&contract, &good.replace("0.75", "\"NaN\"").replace("1.5}", "\"NaN\"}")).len(), 2);
}

#[test]
fn items_keys_and_values_have_rules_of_their_own() {
    let contract = contract(
        r#"message Ask {
            repeated string tags = 1 [(buf.validate.field).repeated = { unique: true items: { string: { min_len: 2 } } }];
            repeated sint32 numbers = 2 [(buf.validate.field).repeated.items.sint32.lt = 10];
            map<string, uint32> stock = 3 [(buf.validate.field).map = {
                max_pairs: 2 keys: { string: { max_len: 3 } } values: { uint32: { gt: 0 } }
            }];
            map<int32, Inner> inner = 4;
        }
        message Inner { bytes data = 1 [(buf.validate.field).bytes.max_len = 2]; }"#,
    );
    let bad = r#"{"tags":["aa","b","aa"],"numbers":[9,10],"stock":{"long":1,"ok":0},"inner":{"-7":{"data":"AAAA"}}}"#;
    let mut found = check(&contract, bad);
    found.sort();
    assert_eq!(
        found,
        [
            "inner[-7].data: must have at most 2 bytes",
            "numbers[1]: must be less than 10",
            "stock[\"long\"]: must have at most 3 characters",
            "stock[\"ok\"]: must be greater than 0",
            "tags: its items must differ",
            "tags[1]: must have at least 2 characters",
        ]
    );
    assert_eq!(check(&contract, r#"{"stock":{"a":1,"b":2,"c":3}}"#), ["stock: must have at most 2 pairs"]);
    let long = check(&contract, &format!(r#"{{"stock":{{"{}":1}}}}"#, "ä".repeat(5000)));
    assert_eq!(long, [format!("stock[\"{}\"]: must have at most 3 characters", "ä".repeat(40))]);
    // The same key twice is one pair; an entry without a value has zero.
    assert_eq!(check_bytes(&contract, b"\x1a\x03\x0a\x01k"), ["stock[\"k\"]: must be greater than 0"]);
    assert_eq!(check_bytes(&contract, &b"\x1a\x05\x0a\x01k\x10\x01".repeat(5)), [""; 0]);
    // Unpacked items are the same items.
    assert_eq!(check_bytes(&contract, b"\x10\x12\x10\x14"), ["numbers[1]: must be less than 10"]);
}

#[test]
fn times_keep_their_bounds_and_the_range_of_their_type() {
    let contract = contract(
        r#"message Ask {
            google.protobuf.Duration hold = 1 [(buf.validate.field).duration = { gt: {} lte: { seconds: 60 } }];
            google.protobuf.Timestamp at = 2 [(buf.validate.field).timestamp.gte = { seconds: 10 }];
            google.protobuf.Timestamp free = 3;
        }"#,
    );
    assert_eq!(check(&contract, r#"{"hold":"60s","at":"1970-01-01T00:00:10Z"}"#), [""; 0]);
    assert_eq!(
        check(&contract, r#"{"hold":"60.000000001s","at":"1970-01-01T00:00:09Z"}"#),
        ["hold: must be at most 60000000000", "at: must be at least 10000000000"]
    );
    // 2^40 seconds is a number, not a time.
    let mut far = vec![0x1a, 7, 8];
    far.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    assert_eq!(check_bytes(&contract, &far), ["free: is outside the range of its type"]);
}

#[test]
fn text_that_is_not_utf8_is_the_callers_mistake() {
    let contract = contract("message Ask { string a = 1; map<string, string> m = 2; bytes b = 3; }");
    assert_eq!(check_bytes(&contract, b"\x0a\x02\xff\xfe"), ["a: must be valid UTF-8"]);
    assert_eq!(check_bytes(&contract, b"\x12\x06\x0a\x01k\x12\x01\xff"), ["m[\"k\"]: must be valid UTF-8"]);
    assert_eq!(check_bytes(&contract, b"\x1a\x02\xff\xfe"), [""; 0]);
}

#[test]
fn bytes_that_are_no_message_are_the_callers_mistake() {
    let contract =
        contract("message Ask { string a = 1; Ask inner = 2; uint32 n = 3; repeated uint32 many = 4; }");
    for bad in [
        &b"\x0a"[..],
        b"\x0a\x05ab",
        b"\x00\x01",
        b"\x0f",
        b"\x0b",
        b"\x5b\x5c\x64",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x08\x01",
        b"\x1a\x01x",
        b"\x22\x01\x80",
        b"\x12\x02\x0a\x05",
    ] {
        let found = check_bytes(&contract, bad);
        assert!(
            found.len() == 1 && found[0].ends_with("is not encoded as its type demands"),
            "{bad:?} gave {found:?}"
        );
    }
    // A field nobody knows is passed over, groups too.
    assert_eq!(check_bytes(&contract, b"\x50\x01\x5b\x08\x01\x5c"), [""; 0]);
}

#[test]
fn a_message_given_twice_is_refused_because_merging_would_add_up() {
    let contract = contract(
        r#"message Ask { Inner inner = 1; }
        message Inner { repeated uint32 n = 1 [(buf.validate.field).repeated.max_items = 1]; }"#,
    );
    assert_eq!(check_bytes(&contract, b"\x0a\x02\x08\x01\x0a\x02\x08\x02"), ["inner: is given twice"]);
}

#[test]
fn depth_and_the_number_of_violations_are_bounded() {
    let contract = contract(
        "message Ask { Ask inner = 1; repeated string tags = 2 [(buf.validate.field).repeated.items.string.min_len = 1]; }",
    );
    let mut deep = Vec::new();
    for _ in 0..super::MAX_DEPTH + 1 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend(deep);
        deep = outer;
    }
    let found = check_bytes(&contract, &deep);
    assert!(found.len() == 1 && found[0].ends_with("is nested too deep"), "{found:?}");
    assert_eq!(check_bytes(&contract, &b"\x12\x00".repeat(1000)).len(), super::MAX_VIOLATIONS);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_walk_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
        thread_local! { static CONTRACT: Arc<Contract> = contract(ORDER); }
        CONTRACT.with(|contract| check_bytes(contract, &bytes));
    }
}

#[test]
fn text_with_a_zero_character_is_refused_wherever_it_stands() {
    let contract = contract(
        r#"message Ask { string a = 1; repeated string b = 2; map<string, string> c = 3; optional string d = 4; }"#,
    );
    let zero = r#"{"a":"x\u0000","b":["x","\u0000"],"c":{"k":"\u0000x"},"d":"\u0000"}"#;
    assert_eq!(
        check(&contract, zero),
        ["a", "b[1]", "c[\"k\"]", "d"].map(|path| format!("{path}: must not contain U+0000"))
    );
}

#[test]
fn a_map_entry_given_its_value_twice_is_refused() {
    let contract = contract(
        r#"message Ask { map<int32, Inner> inner = 1; }
           message Inner { uint32 a = 1 [(buf.validate.field).uint32.lte = 3]; uint32 b = 2; }"#,
    );
    // A decoder merges the two values: the last one alone keeps the rule.
    let merged = [0x0a, 0x0a, 0x08, 0x01, 0x12, 0x02, 0x08, 0x09, 0x12, 0x02, 0x10, 0x01];
    assert_eq!(check_bytes(&contract, &merged), ["inner: is given twice"]);
}
