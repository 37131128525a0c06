//! What callers send, good and bad.

use stampede_transcode::{ErrorKind, RequestOptions, UnknownFields};

use crate::support::{find, refused, round, routed, schema, to_wire};

const SCALARS: &str = "test.rich.v1.Scalars";
const LISTS: &str = "test.rich.v1.Lists";
const MAPS: &str = "test.rich.v1.Maps";
const TREE: &str = "test.rich.v1.Tree";
const KNOWN: &str = "test.rich.v1.Known";

#[test]
fn canonical_json_comes_back_as_it_went() {
    for (message, json) in [
        (SCALARS, r#"{"aDouble":1.5,"anInt32":-5,"anInt64":"-9223372036854775808","aUint64":"18446744073709551615","aBool":true,"aString":"a\"\\\n中😀","someBytes":"AAEC/w==","color":"COLOR_RED","maybeInt32":0,"anotherName":"x"}"#),
        (SCALARS, r#"{"aDouble":"NaN","aFloat":"-Infinity","color":77}"#),
        (LISTS, r#"{"int32s":[1,-2,0],"strings":["","a"],"colors":["COLOR_BLUE",9],"messages":[{},{"anInt32":1}],"unpacked":[1,2]}"#),
        (MAPS, r#"{"strings":{"":"empty","a":""},"messages":{"-1":{"anInt32":1}}}"#),
        (MAPS, r#"{"colors":{"18446744073709551615":"COLOR_RED"},"doubles":{"true":0.5}}"#),
        (TREE, r#"{"branch":{"branch":{"text":""}},"children":[{"number":"0"},{"flag":false}]}"#),
        (KNOWN, r#"{"time":"2024-02-29T23:59:59.123456789Z","duration":"-0.500s","mask":"aB.cD,e"}"#),
        (KNOWN, r#"{"structure":{"a":[null,1.0,"x",true,{"b":{}}]},"value":null,"list":[[],{}],"empty":{}}"#),
        (KNOWN, r#"{"aDouble":0.0,"anInt64":"0","aBool":false,"aString":"","someBytes":"","null":null,"values":[null,"a"]}"#.trim()),
        (KNOWN, r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#),
        (KNOWN, r#"{"any":{"@type":"type.googleapis.com/test.rich.v1.Scalars","anInt32":1}}"#),
        ("test.group.v1.Old", r#"{"inner":{"a":1,"b":"x"},"many":[{"a":1},{}],"number":0,"numbers":[1,2]}"#),
    ] {
        let back = round(message, json);
        let expected = json.replace(r#","null":null"#, "");
        assert_eq!(back, expected);
    }
}

#[test]
fn many_spellings_mean_the_same() {
    for (message, json, canonical) in [
        (SCALARS, r#"{"an_int32":"12"}"#, r#"{"anInt32":12}"#),
        (
            SCALARS,
            r#"{"anInt32":1.2e1,"anInt64":12.0,"aUint64":"1e1"}"#,
            r#"{"anInt32":12,"anInt64":"12","aUint64":"10"}"#,
        ),
        (SCALARS, r#"{"someBytes":"_-8"}"#, r#"{"someBytes":"/+8="}"#),
        (SCALARS, r#"{"color":2,"aDouble":"1.5"}"#, r#"{"aDouble":1.5,"color":"COLOR_BLUE"}"#),
        (SCALARS, r#" { "aString" : null , "anInt32" : null } "#, "{}"),
        (SCALARS, r#"{"renamed":"x"}"#, r#"{"anotherName":"x"}"#),
        (SCALARS, r#"{"aString":"\u00e9\ud83d\ude00\/\b"}"#, "{\"aString\":\"é😀/\\u0008\"}"),
        (SCALARS, "", "{}"),
        (SCALARS, "  \n", "{}"),
        (LISTS, r#"{"int32s":null,"strings":[]}"#, "{}"),
        (TREE, r#"{"text":null,"number":1}"#, r#"{"number":"1"}"#),
        (
            KNOWN,
            r#"{"time":"1970-01-01T02:00:00+02:00","aBool":null,"values":null}"#,
            r#"{"time":"1970-01-01T00:00:00Z"}"#,
        ),
        (
            KNOWN,
            r#"{"any":{"anInt32":1,"@type":"x/test.rich.v1.Scalars"}}"#,
            r#"{"any":{"@type":"x/test.rich.v1.Scalars","anInt32":1}}"#,
        ),
        (KNOWN, r#"{"any":{}}"#, r#"{"any":{}}"#),
        (
            KNOWN,
            r#"{"any":{"@type":"x/google.protobuf.Empty","value":{}}}"#,
            r#"{"any":{"@type":"x/google.protobuf.Empty","value":{}}}"#,
        ),
    ] {
        assert_eq!(round(message, json), canonical, "{json}");
    }
}

#[test]
fn every_mistake_has_its_kind_and_its_path() {
    use ErrorKind as K;
    for (message, json, kind, path) in [
        (SCALARS, r#"{"nope":1}"#, K::UnknownField, "nope"),
        (TREE, r#"{"children":[{},{"scalars":{"nope":1}}]}"#, K::UnknownField, "children[1].scalars.nope"),
        (SCALARS, r#"{"anInt32":"x"}"#, K::WrongType, "anInt32"),
        (SCALARS, r#"{"anInt32":true}"#, K::WrongType, "anInt32"),
        (SCALARS, r#"{"anInt32":1.5}"#, K::WrongType, "anInt32"),
        (SCALARS, r#"{"anInt32":" 1"}"#, K::WrongType, "anInt32"),
        (SCALARS, r#"{"anInt32":""}"#, K::WrongType, "anInt32"),
        (SCALARS, r#"{"aString":1}"#, K::WrongType, "aString"),
        (SCALARS, r#"{"aBool":"true"}"#, K::WrongType, "aBool"),
        (SCALARS, r#"{"someBytes":"*"}"#, K::WrongType, "someBytes"),
        (SCALARS, r#"{"anInt32":2147483648}"#, K::OutOfRange, "anInt32"),
        (SCALARS, r#"{"anInt64":9223372036854775808}"#, K::OutOfRange, "anInt64"),
        (SCALARS, r#"{"an_int64":"9223372036854775808"}"#, K::OutOfRange, "an_int64"),
        (SCALARS, r#"{"aUint32":-1}"#, K::OutOfRange, "aUint32"),
        (SCALARS, r#"{"aUint64":-1}"#, K::OutOfRange, "aUint64"),
        (SCALARS, r#"{"aUint64":18446744073709551616}"#, K::OutOfRange, "aUint64"),
        (SCALARS, r#"{"aDouble":1e400}"#, K::OutOfRange, "aDouble"),
        (SCALARS, r#"{"aFloat":1e39}"#, K::OutOfRange, "aFloat"),
        (SCALARS, r#"{"color":"RED"}"#, K::UnknownEnumValue, "color"),
        (SCALARS, r#"{"color":2147483648}"#, K::OutOfRange, "color"),
        (SCALARS, r#"{"color":null,"color":1}"#, K::Duplicate, "color"),
        (SCALARS, r#"{"anInt32":1,"an_int32":1}"#, K::Duplicate, "an_int32"),
        (TREE, r#"{"text":"a","number":1}"#, K::OneofConflict, "number"),
        (LISTS, r#"{"int32s":[1,null]}"#, K::WrongType, "int32s[1]"),
        (LISTS, r#"{"int32s":{"0":1}}"#, K::WrongType, "int32s"),
        (LISTS, r#"{"messages":[{},{"anInt32":{}}]}"#, K::WrongType, "messages[1].anInt32"),
        (MAPS, r#"{"strings":{"a":"1","a":"2"}}"#, K::Duplicate, r#"strings["a"]"#),
        (MAPS, r#"{"messages":{"x":{}}}"#, K::WrongType, r#"messages["x"]"#),
        (MAPS, r#"{"messages":{"1":{"nope":1}}}"#, K::UnknownField, r#"messages["1"].nope"#),
        (MAPS, r#"{"strings":{"a":null}}"#, K::WrongType, r#"strings["a"]"#),
        (MAPS, r#"{"doubles":{"yes":1}}"#, K::WrongType, r#"doubles["yes"]"#),
        (MAPS, r#"{"strings":[]}"#, K::WrongType, "strings"),
        (KNOWN, r#"{"time":"yesterday"}"#, K::WrongType, "time"),
        (KNOWN, r#"{"duration":"1"}"#, K::WrongType, "duration"),
        (KNOWN, r#"{"mask":"a_b"}"#, K::WrongType, "mask"),
        (KNOWN, r#"{"structure":[]}"#, K::WrongType, "structure"),
        (KNOWN, r#"{"structure":{"a":1,"a":2}}"#, K::Duplicate, r#"structure["a"]"#),
        (KNOWN, r#"{"any":{"@type":"x/none.Such"}}"#, K::Unsupported, "any.@type"),
        (KNOWN, r#"{"any":{"a":1}}"#, K::Missing, "any.@type"),
        (KNOWN, r#"{"aUint32":-1}"#, K::OutOfRange, "aUint32"),
        (SCALARS, "[]", K::WrongType, ""),
        (SCALARS, "null", K::WrongType, ""),
        (SCALARS, "{}x", K::TrailingData, ""),
        (SCALARS, "{} {}", K::TrailingData, ""),
    ] {
        assert_eq!(refused(message, json), (kind, path.to_owned()), "{json}");
    }
}

#[test]
fn what_is_not_json_is_a_syntax_error_with_its_place() {
    for json in [
        "{",
        "{\"aString\"",
        "{\"aString\":",
        "{\"aString\":\"",
        "{\"aString\":\"a",
        "{\"aString\":\"\\",
        "{\"aString\":\"\\x\"}",
        "{\"aString\":\"\\u12\"}",
        "{\"aString\":\"\\ud800\"}",
        "{\"aString\":\"\\ud800\\u0041\"}",
        "{\"aString\":\"\n\"}",
        "{,}",
        "{\"aString\":\"a\",}",
        "{\"aString\" \"a\"}",
        "{aString:1}",
        "{'aString':1}",
        "{\"anInt32\":01}",
        "{\"anInt32\":-}",
        "{\"anInt32\":+1}",
        "{\"anInt32\":.5}",
        "{\"anInt32\":1.}",
        "{\"aBool\":tru}",
        "{\"aBool\":nul}",
        "x",
        "\u{feff}{}",
        "{\"aDouble\":NaN}",
        "{\"anInt32\":1 2}",
    ] {
        let error = to_wire(SCALARS, json).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Syntax, "{json}: {error}");
        assert!(error.offset.unwrap() <= json.len(), "{json}");
    }
    assert_eq!(to_wire(LISTS, "{\"int32s\":[1,]}").unwrap_err().kind, ErrorKind::Syntax);
}

#[test]
fn bytes_that_are_not_utf_8_are_refused_where_they_stand() {
    let id = schema().message(SCALARS).unwrap();
    let error = schema()
        .to_wire(id, b"{\"aString\":\"\xff\"}", &RequestOptions::default(), &mut Vec::new())
        .unwrap_err();
    assert_eq!((error.kind, error.offset), (ErrorKind::InvalidUtf8, Some(12)));
}

#[test]
fn depth_is_bounded_where_other_decoders_bound_it() {
    let nested = |levels: usize| format!("{}{{}}{}", "{\"branch\":".repeat(levels), "}".repeat(levels));
    let wire = to_wire(TREE, &nested(100)).unwrap();
    crate::support::decode(TREE, &wire);
    assert_eq!(to_wire(TREE, &nested(101)).unwrap_err().kind, ErrorKind::TooDeep);
    assert_eq!(to_wire(TREE, &nested(100_000)).unwrap_err().kind, ErrorKind::TooDeep);
    let lists = |levels: usize| format!("{{\"value\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let deepest = (1..200).take_while(|levels| to_wire(KNOWN, &lists(*levels)).is_ok()).last().unwrap();
    crate::support::decode(KNOWN, &to_wire(KNOWN, &lists(deepest)).unwrap());
    assert!(to_wire(KNOWN, &lists(100_000)).is_err());
    let structs =
        |levels: usize| format!("{{\"value\":{}1{}}}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let deepest = (1..200).take_while(|levels| to_wire(KNOWN, &structs(*levels)).is_ok()).last().unwrap();
    assert!(deepest > 30);
    crate::support::decode(KNOWN, &to_wire(KNOWN, &structs(deepest)).unwrap());
}

#[test]
fn unknown_fields_are_read_over_when_that_is_asked_for() {
    let id = schema().message(SCALARS).unwrap();
    let lenient = RequestOptions { unknown_fields: UnknownFields::Ignore };
    let json = br#"{"nope":{"a":[1,{"b":null}],"c":"\n"},"anInt32":1}"#;
    let mut out = Vec::new();
    schema().to_wire(id, json, &lenient, &mut out).unwrap();
    assert_eq!(out, [0x18, 1]);
    let deep = format!("{{\"nope\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let error = schema().to_wire(id, deep.as_bytes(), &lenient, &mut out).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooDeep);
}

#[test]
fn path_query_and_body_come_together() {
    for (method, target, body, expected) in [
        (
            "GET",
            "/v1/orders/42?view=VIEW_FULL&numbers=1&numbers=2&buyer.name=A+B&buyer.tags=x&buyer.tags=y",
            "",
            r#"{"orderId":"42","view":"VIEW_FULL","buyer":{"name":"A B","tags":["x","y"]},"numbers":[1,2]}"#,
        ),
        (
            "GET",
            "/v1/orders/42?mask=a_b,cD&since=2024-01-01T00:00:00Z&deep=false&byNumber=0",
            "{}",
            r#"{"orderId":"42","mask":"aB,cD","since":"2024-01-01T00:00:00Z","byNumber":"0","deep":false}"#,
        ),
        (
            "GET",
            "/v1/orders/42?again.again.order_id=7&view=1",
            "",
            r#"{"orderId":"42","view":"VIEW_BASIC","again":{"again":{"orderId":"7"}}}"#,
        ),
        (
            "GET",
            "/v1/buyers/b/orders/42?buyer.name=n",
            "",
            r#"{"orderId":"42","buyer":{"id":"b","name":"n"}}"#,
        ),
        (
            "POST",
            "/v1/orders/42:cancel",
            r#"{"orderId":"7","view":"VIEW_FULL"}"#,
            r#"{"orderId":"42","view":"VIEW_FULL"}"#,
        ),
        ("POST", "/v1/orders/42:cancel", "", r#"{"orderId":"42"}"#),
        (
            "PATCH",
            "/v1/orders/42?updateMask=lines",
            r#"{"orderId":"7","totalMinor":5}"#,
            r#"{"order":{"orderId":"42","totalMinor":"5"},"updateMask":"lines"}"#,
        ),
        ("PATCH", "/v1/orders/42", "", r#"{"order":{"orderId":"42"}}"#),
        (
            "PUT",
            "/v1/orders/42",
            r#"{"order":{"orderId":"7","totalMinor":5},"updateMask":"a"}"#,
            r#"{"order":{"orderId":"42","totalMinor":"5"},"updateMask":"a"}"#,
        ),
        ("PUT", "/v1/orders/42", r#"{"order":null}"#, r#"{"order":{"orderId":"42"}}"#),
        ("GET", "/v1/shelves/s/files/a%20b", "", r#"{"name":"shelves/s/files/a b"}"#),
        ("GET", "/v1/orders?&&pageSize=5&", "", r#"{"pageSize":5}"#),
    ] {
        assert_eq!(
            routed(method, target, body).unwrap_or_else(|error| panic!("{target}: {error}")),
            expected,
            "{target}"
        );
    }
}

#[test]
fn a_bound_field_stands_once_on_the_wire() {
    let mut wire = Vec::new();
    let body = br#"{"order":{"orderId":"7"}}"#;
    find("PUT", "/v1/orders/42").request(None, body, &RequestOptions::default(), &mut wire).unwrap();
    assert_eq!(wire, [0x0a, 4, 0x0a, 2, b'4', b'2']);
}

#[test]
fn bad_queries_and_bodies_are_refused_with_the_parameter() {
    use ErrorKind as K;
    let many = format!("/v1/orders?{}", "a=1&".repeat(1000));
    for (method, target, body, kind, path) in [
        ("GET", "/v1/orders/42?nope=1", "", K::UnknownField, "nope"),
        ("GET", "/v1/orders/42?buyer.nope=1", "", K::UnknownField, "buyer.nope"),
        ("GET", "/v1/orders/42?view.x=1", "", K::UnknownField, "view.x"),
        ("GET", "/v1/orders/42?view=NOPE", "", K::UnknownEnumValue, "view"),
        ("GET", "/v1/orders/42?view=1&view=2", "", K::Duplicate, "view"),
        ("GET", "/v1/orders/42?orderId=7", "", K::PathBound, "orderId"),
        ("GET", "/v1/orders/42?buyer=7", "", K::WrongType, "buyer"),
        ("GET", "/v1/orders/42?labels.a=7", "", K::Unsupported, "labels.a"),
        ("GET", "/v1/orders/42?since.seconds=7", "", K::Unsupported, "since.seconds"),
        ("GET", "/v1/orders/42?numbers=x", "", K::WrongType, "numbers"),
        ("GET", "/v1/orders/42?byName=a&byNumber=1", "", K::OneofConflict, "byNumber"),
        ("GET", "/v1/orders/42?deep=%ff", "", K::InvalidUtf8, "deep"),
        ("GET", "/v1/orders?pageSize=2147483648", "", K::OutOfRange, "pageSize"),
        ("GET", "/v1/orders?pageSize=", "", K::WrongType, "pageSize"),
        ("GET", many.as_str(), "", K::UnknownField, "a"),
        ("GET", "/v1/orders/42", "{\"view\":1}", K::PathBound, ""),
        ("GET", "/v1/orders/42", "[]", K::PathBound, ""),
        ("POST", "/v1/orders?orderId=7", "{}", K::PathBound, "orderId"),
        ("PATCH", "/v1/orders/42?order.totalMinor=7", "{}", K::PathBound, "order.totalMinor"),
        ("PATCH", "/v1/orders/42", "{\"nope\":1}", K::UnknownField, "order.nope"),
        ("PATCH", "/v1/orders/42", "{} {}", K::TrailingData, ""),
        (
            "POST",
            "/v1/orders",
            r#"{"lines":[{},{},{},{"quantity":"many"}]}"#,
            K::WrongType,
            "lines[3].quantity",
        ),
    ] {
        let error = routed(method, target, body).unwrap_err();
        assert_eq!((error.kind, error.path.as_str()), (kind, path), "{target}: {error}");
    }
}

#[test]
fn too_many_parameters_are_refused() {
    let target = format!("/v1/orders/42?{}", "numbers=1&".repeat(257));
    assert_eq!(routed("GET", &target, "").unwrap_err().kind, ErrorKind::TooMany);
    let deep = format!("/v1/orders/42?{}orderId=1", "again.".repeat(5000));
    assert_eq!(routed("GET", &deep, "").unwrap_err().kind, ErrorKind::TooDeep);
}
