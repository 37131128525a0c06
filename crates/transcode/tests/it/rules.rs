//! The rules of canonical proto3 JSON, one test each.

use stampede_transcode::{ErrorKind, MAX_NESTED_ANY, RequestOptions, UnknownFields};

use crate::support::{decode, refused, round, schema, to_json, to_wire};

const SCALARS: &str = "test.rich.v1.Scalars";
const LISTS: &str = "test.rich.v1.Lists";
const MAPS: &str = "test.rich.v1.Maps";
const TREE: &str = "test.rich.v1.Tree";
const KNOWN: &str = "test.rich.v1.Known";

#[test]
fn bytes_are_read_in_both_base64_alphabets_padded_or_not() {
    for text in ["+/+/", "-_-_"] {
        let json = format!(r#"{{"someBytes":"{text}"}}"#);
        assert_eq!(to_wire(SCALARS, &json).unwrap(), [0x7a, 3, 0xfb, 0xff, 0xbf], "{text}");
    }
    for text in ["/w==", "/w", "_w==", "_w"] {
        assert_eq!(round(SCALARS, &format!(r#"{{"someBytes":"{text}"}}"#)), r#"{"someBytes":"/w=="}"#);
    }
    // One alphabet at a time, whole groups, and no foreign characters.
    for text in ["+_", "A", "AAAAA", "A=", "A A=", "AA==AA==", "é"] {
        let json = format!(r#"{{"someBytes":"{text}"}}"#);
        assert_eq!(refused(SCALARS, &json), (ErrorKind::WrongType, "someBytes".to_owned()), "{text}");
    }
}

#[test]
fn enums_go_by_name_or_number_and_unknown_numbers_are_kept() {
    assert_eq!(round(SCALARS, r#"{"color":"COLOR_NEGATIVE"}"#), r#"{"color":"COLOR_NEGATIVE"}"#);
    assert_eq!(round(SCALARS, r#"{"color":-3}"#), r#"{"color":"COLOR_NEGATIVE"}"#);
    for number in [99, -99, i32::MAX, i32::MIN] {
        let json = format!(r#"{{"color":{number}}}"#);
        assert_eq!(round(SCALARS, &json), json);
    }
    assert_eq!(
        round(LISTS, r#"{"colors":[7,"COLOR_RED",0]}"#),
        r#"{"colors":[7,"COLOR_RED","COLOR_UNSPECIFIED"]}"#
    );
    assert_eq!(round(MAPS, r#"{"colors":{"1":7}}"#), r#"{"colors":{"1":7}}"#);
    for name in ["color_red", "", "COLOR_RED ", "1"] {
        let json = format!(r#"{{"color":"{name}"}}"#);
        assert_eq!(refused(SCALARS, &json).0, ErrorKind::UnknownEnumValue, "{name}");
    }
}

#[test]
fn null_is_an_absent_field_except_where_it_is_a_value() {
    let fields: Vec<String> = ["aDouble", "anInt64", "aBool", "aString", "someBytes", "color", "maybeInt32"]
        .map(|name| format!(r#""{name}":null"#))
        .into();
    assert_eq!(round(SCALARS, &format!("{{{}}}", fields.join(","))), "{}");
    assert_eq!(round(TREE, r#"{"scalars":null,"lists":null,"children":null,"branch":null}"#), "{}");
    assert_eq!(round(MAPS, r#"{"strings":null}"#), "{}");
    assert_eq!(
        round(KNOWN, r#"{"time":null,"mask":null,"structure":null,"list":null,"any":null,"anInt64":null}"#),
        "{}"
    );
    // A Value's null and a NullValue are values, in lists and maps as well.
    assert_eq!(round(KNOWN, r#"{"value":null,"values":[null]}"#), r#"{"value":null,"values":[null]}"#);
    assert_eq!(
        round(KNOWN, r#"{"structure":{"a":null},"list":[null]}"#),
        r#"{"structure":{"a":null},"list":[null]}"#
    );
    // A null member of a oneof sets nothing, so another may be given.
    assert_eq!(round(TREE, r#"{"text":null,"flag":null,"number":1}"#), r#"{"number":"1"}"#);
    for (message, json) in [
        (LISTS, r#"{"strings":[null]}"#),
        (LISTS, r#"{"messages":[null]}"#),
        (MAPS, r#"{"messages":{"1":null}}"#),
        (SCALARS, "null"),
    ] {
        assert_eq!(refused(message, json).0, ErrorKind::WrongType, "{json}");
    }
}

#[test]
fn whole_numbers_may_have_a_point_or_an_exponent_in_every_integer_type() {
    let signed = ["anInt32", "anInt64", "aSint32", "aSint64", "aSfixed32", "aSfixed64"];
    let unsigned = ["aUint32", "aUint64", "aFixed32", "aFixed64"];
    for name in signed.into_iter().chain(unsigned) {
        for spelling in ["12", "12.0", "1.2e1", "1.2E+1", "120e-1", "\"12\"", "\"12.0\"", "\"1.2e1\""] {
            let given = to_wire(SCALARS, &format!(r#"{{"{name}":{spelling}}}"#)).unwrap();
            assert_eq!(
                given,
                to_wire(SCALARS, &format!(r#"{{"{name}": 12 }}"#)).unwrap(),
                "{name}:{spelling}"
            );
        }
        for wrong in ["12.5", "\"12.5\"", "1e-1", "\" 12\"", "\"\"", "\"0x1\"", "\"+1\"", "true", "[]"] {
            let json = format!(r#"{{"{name}":{wrong}}}"#);
            assert_eq!(refused(SCALARS, &json), (ErrorKind::WrongType, name.to_owned()), "{wrong}");
        }
        assert_eq!(round(SCALARS, &format!(r#"{{"{name}":-0}}"#)), "{}");
    }
    for name in unsigned {
        assert_eq!(refused(SCALARS, &format!(r#"{{"{name}":-1}}"#)).0, ErrorKind::OutOfRange);
    }
}

#[test]
fn every_integer_type_takes_its_ends_and_nothing_beyond() {
    for (name, low, high) in [
        ("anInt32", i128::from(i32::MIN), i128::from(i32::MAX)),
        ("aSint32", i128::from(i32::MIN), i128::from(i32::MAX)),
        ("aSfixed32", i128::from(i32::MIN), i128::from(i32::MAX)),
        ("aUint32", 0, i128::from(u32::MAX)),
        ("aFixed32", 0, i128::from(u32::MAX)),
        ("anInt64", i128::from(i64::MIN), i128::from(i64::MAX)),
        ("aSint64", i128::from(i64::MIN), i128::from(i64::MAX)),
        ("aSfixed64", i128::from(i64::MIN), i128::from(i64::MAX)),
        ("aUint64", 0, i128::from(u64::MAX)),
        ("aFixed64", 0, i128::from(u64::MAX)),
    ] {
        for end in [low, high] {
            let wire = to_wire(SCALARS, &format!(r#"{{"{name}":{end}}}"#)).unwrap();
            let text = to_json(SCALARS, &wire, true).unwrap();
            let digits = if name.ends_with("64") { format!("\"{end}\"") } else { end.to_string() };
            assert!(text.contains(&format!(r#""{name}":{digits}"#)), "{name}: {text}");
        }
        for beyond in [low - 1, high + 1] {
            for spelling in [beyond.to_string(), format!("\"{beyond}\"")] {
                let json = format!(r#"{{"{name}":{spelling}}}"#);
                assert_eq!(refused(SCALARS, &json).0, ErrorKind::OutOfRange, "{json}");
            }
        }
    }
}

#[test]
fn floats_that_are_no_numbers_are_words() {
    for word in ["NaN", "Infinity", "-Infinity"] {
        let json = format!(r#"{{"aDouble":"{word}","aFloat":"{word}"}}"#);
        assert_eq!(round(SCALARS, &json), json);
        assert_eq!(refused(SCALARS, &format!(r#"{{"aDouble":{word}}}"#)).0, ErrorKind::Syntax);
    }
    for word in ["nan", "inf", "+Infinity", "-NaN", "infinity"] {
        assert_eq!(refused(SCALARS, &format!(r#"{{"aFloat":"{word}"}}"#)).0, ErrorKind::WrongType, "{word}");
    }
    // Minus zero is not the zero that is left out.
    assert_eq!(round(SCALARS, r#"{"aDouble":-0.0,"aFloat":0.0}"#), r#"{"aDouble":-0.0}"#);
}

#[test]
fn wrappers_are_the_value_they_wrap_and_present_even_when_it_is_zero() {
    let zero = r#"{"aDouble":0.0,"aFloat":0.0,"anInt64":"0","aUint64":"0","anInt32":0,"aUint32":0,"aBool":false,"aString":"","someBytes":""}"#;
    assert_eq!(round(KNOWN, zero), zero);
    let full = r#"{"aDouble":"NaN","aFloat":1.5,"anInt64":"-1","aUint64":"1","anInt32":-1,"aUint32":1,"aBool":true,"aString":"a","someBytes":"AA=="}"#;
    assert_eq!(round(KNOWN, full), full);
    assert_eq!(round(KNOWN, "{}"), "{}");
    assert_eq!(refused(KNOWN, r#"{"aBool":{"value":true}}"#), (ErrorKind::WrongType, "aBool".to_owned()));
}

#[test]
fn field_masks_are_one_string_of_lower_camel_paths() {
    assert_eq!(round(KNOWN, r#"{"mask":"a,bC.dE1,f"}"#), r#"{"mask":"a,bC.dE1,f"}"#);
    assert_eq!(round(KNOWN, r#"{"mask":""}"#), r#"{"mask":""}"#);
    let wire = to_wire(KNOWN, r#"{"mask":"fooBar.baz"}"#).unwrap();
    assert!(format!("{:?}", decode(KNOWN, &wire)).contains("foo_bar.baz"));
    for mask in ["foo_bar", "a, b", "a,", "*", "é"] {
        assert_eq!(refused(KNOWN, &format!(r#"{{"mask":"{mask}"}}"#)).0, ErrorKind::WrongType, "{mask}");
    }
}

#[test]
fn an_any_may_stand_in_an_any_up_to_a_limit() {
    let nested = |levels: usize| {
        let open = r#"{"@type":"x/test.rich.v1.Known","any":"#.repeat(levels);
        let inner = r#"{"@type":"x/google.protobuf.Duration","value":"1s"}"#;
        format!(r#"{{"any":{open}{inner}{}}}"#, "}".repeat(levels))
    };
    let deepest = nested(MAX_NESTED_ANY - 1);
    assert_eq!(round(KNOWN, &deepest), deepest);
    assert_eq!(refused(KNOWN, &nested(MAX_NESTED_ANY)).0, ErrorKind::TooDeep);
    // An Any is itself a well-known type, so inside another it stands under `value`.
    let boxed = r#"{"any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/test.rich.v1.Scalars","aBool":true}}}"#;
    assert_eq!(round(KNOWN, boxed), boxed);
    // `@type` may come last, and is not a field of a message that is no Any.
    let late = r#"{"any":{"aBool":true,"@type":"x/test.rich.v1.Scalars"}}"#;
    assert_eq!(round(KNOWN, late), r#"{"any":{"@type":"x/test.rich.v1.Scalars","aBool":true}}"#);
    assert_eq!(refused(SCALARS, r#"{"@type":"x/y"}"#).0, ErrorKind::UnknownField);
}

#[test]
fn nothing_is_given_twice() {
    for (message, json, path) in [
        (SCALARS, r#"{"aBool":true,"aBool":true}"#, "aBool"),
        (SCALARS, r#"{"aBool":true,"a_bool":true}"#, "a_bool"),
        (SCALARS, r#"{"aBool":true,"a\u0042ool":true}"#, "aBool"),
        (TREE, r#"{"scalars":{},"lists":{},"scalars":{}}"#, "scalars"),
        (TREE, r#"{"children":[],"children":[]}"#, "children"),
        (MAPS, r#"{"strings":{"a":"","\u0061":""}}"#, r#"strings["a"]"#),
        (MAPS, r#"{"messages":{"1":{},"1.0":{}}}"#, r#"messages["1.0"]"#),
        (KNOWN, r#"{"structure":{"a":1,"a":1}}"#, r#"structure["a"]"#),
        (KNOWN, r#"{"any":{"@type":"x/test.rich.v1.Scalars","aBool":true,"aBool":true}}"#, "any.aBool"),
    ] {
        assert_eq!(refused(message, json), (ErrorKind::Duplicate, path.to_owned()), "{json}");
    }
    assert_eq!(refused(TREE, r#"{"text":"","flag":false}"#), (ErrorKind::OneofConflict, "flag".to_owned()));
}

#[test]
fn a_mistake_is_shown_by_its_path_and_its_byte() {
    for (message, json, path, at) in [
        (SCALARS, r#"{"anInt32": "x"}"#, "anInt32", r#""x""#),
        (SCALARS, r#"{"aBool":true,  "anInt32" : 1.5}"#, "anInt32", "1.5"),
        (LISTS, r#"{"int32s":[1,2,{}]}"#, "int32s[2]", "{}]"),
        (LISTS, r#"{"messages":[{},{"color":"RED"}]}"#, "messages[1].color", r#""RED""#),
        (MAPS, r#"{"messages":{"7":{"aUint32":-1}}}"#, r#"messages["7"].aUint32"#, "-1"),
        (KNOWN, r#"{"time":"today"}"#, "time", r#""today""#),
        (KNOWN, r#"{"list":[[1,tru]]}"#, "list[0][1]", "tru]"),
        (TREE, r#"{"children":[{"children":[{"é":1}]}]}"#, "children[0].children[0].é", "1}]"),
    ] {
        let error = to_wire(message, json).unwrap_err();
        assert_eq!((error.path.as_str(), error.offset), (path, json.find(at)), "{json}: {error}");
    }
}

#[test]
fn leniency_is_for_unknown_fields_alone() {
    let lenient = RequestOptions { unknown_fields: UnknownFields::Ignore };
    let read = |message: &str, json: &str| {
        let mut out = Vec::new();
        let id = schema().message(message).unwrap();
        schema()
            .to_wire(id, json.as_bytes(), &lenient, &mut out)
            .map(|()| to_json(message, &out, false).unwrap())
    };
    assert_eq!(
        read(TREE, r#"{"nope":1,"scalars":{"nope":[{}],"aBool":true}}"#).unwrap(),
        r#"{"scalars":{"aBool":true}}"#
    );
    for (json, kind) in [
        (r#"{"nope":tru}"#, ErrorKind::Syntax),
        (r#"{"nope":{"a":1"#, ErrorKind::Syntax),
        (r#"{"color":"NOPE"}"#, ErrorKind::UnknownEnumValue),
        (r#"{"aBool":1}"#, ErrorKind::WrongType),
        (r#"{"aBool":true,"aBool":true}"#, ErrorKind::Duplicate),
    ] {
        assert_eq!(read(SCALARS, json).unwrap_err().kind, kind, "{json}");
    }
}
