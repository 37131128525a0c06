//! What the contract reads, and what it refuses to read.

use std::time::Duration;

use super::fixture::{house, parse, with_ask};
use super::{Idempotency, RateClass};

#[test]
fn everything_declared_about_a_method_is_read() {
    let contract = parse(
        r#"
        message Ask {}
        service Desk {
          rpc Follow(Ask) returns (stream Ask) {
            option (stampede.policy.v1.access) = {
              permission: PERMISSION_STOCK_READ peers: ["gateway", "client"] trusted_peers: ["order"]
            };
            option (stampede.policy.v1.calling) = {
              deadline: { seconds: 3 nanos: 500000000 } idempotency: IDEMPOTENCY_BY_KEY retry_safe: true
              rate_class: RATE_CLASS_STREAM planned: true
            };
          }
        }
        "#,
    )
    .unwrap();

    let method = contract.method("/test.v1.Desk/Follow").unwrap();
    assert_eq!(contract.methods().len(), 1);
    assert_eq!(method.access.permission, "PERMISSION_STOCK_READ");
    assert_eq!(method.access.peers, ["gateway", "client"]);
    assert_eq!(method.access.trusted_peers, ["order"]);
    assert_eq!(method.calling.deadline, Duration::from_millis(3500));
    assert_eq!(method.calling.idempotency, Idempotency::ByKey);
    assert_eq!(method.calling.rate_class, RateClass::Stream);
    assert!(
        method.calling.retry_safe && method.calling.planned && method.server_streaming && !method.is_unary()
    );
}

#[test]
fn roles_grant_what_the_policy_says_and_unknown_roles_nothing() {
    let contract = with_ask("message Ask {}").unwrap();
    let buyer = contract.permissions().granted_by(["buyer"]);
    let both = contract.permissions().granted_by(["buyer", "auditor"]);
    let nobody = contract.permissions().granted_by(["admin", "ROLE_STAFF", ""]);

    assert!(buyer.contains("PERMISSION_ORDER_WRITE") && !buyer.contains("PERMISSION_PAYMENT_READ"));
    assert!(both.contains("PERMISSION_ORDER_WRITE") && both.contains("PERMISSION_PAYMENT_READ"));
    assert_eq!(format!("{nobody:?}"), "{}");
    assert!(!both.contains("PERMISSION_UNSPECIFIED") && !both.contains("PERMISSION_TO_FLY"));
}

#[test]
fn a_method_that_declares_nothing_is_refused_with_every_omission() {
    let error = parse(
        r#"
        message Ask {}
        service Desk {
          rpc Bare(Ask) returns (Ask);
          rpc Shut(Ask) returns (Ask) {
            option (stampede.policy.v1.access) = { permission: PERMISSION_STOCK_READ };
            option (stampede.policy.v1.calling) = { idempotency: IDEMPOTENCY_READ rate_class: RATE_CLASS_READ };
          }
        }
        "#,
    )
    .unwrap_err();
    assert_eq!(
        error.problems,
        [
            "test.v1.Desk.Bare: declares no stampede.policy.v1.access",
            "test.v1.Desk.Bare: declares no stampede.policy.v1.calling",
            "test.v1.Desk.Shut: access names no peer, so nobody could call it",
            "test.v1.Desk.Shut: calling has no positive deadline",
        ]
    );
}

#[test]
fn a_rule_nobody_checks_is_refused() {
    for (field, complaint) in [
        ("string a = 1 [(buf.validate.field).string.email = true];", "StringRules.email is not checked"),
        (
            "string a = 1 [(buf.validate.field).cel = { id: \"a\" expression: \"true\" }];",
            "FieldRules.cel is not checked",
        ),
        (
            "uint32 a = 1 [(buf.validate.field).string.min_len = 1];",
            "string rules do not fit; this field takes uint32",
        ),
        ("uint32 a = 1 [(buf.validate.field).uint32 = { gt: 5 lt: 3 }];", "outside-of"),
        ("string a = 1 [(buf.validate.field).string.pattern = \"(\"];", "string.pattern"),
        (
            "google.protobuf.Timestamp a = 1 [(buf.validate.field).timestamp.lt_now = true];",
            "TimestampRules.lt_now",
        ),
        (
            "repeated string a = 1 [(buf.validate.field).string.min_len = 1];",
            "this field takes repeated rules",
        ),
        (
            "option (buf.validate.message).cel_expression = \"true\"; string a = 1;",
            "buf.validate.message is not checked",
        ),
    ] {
        let error = with_ask(&format!("message Ask {{ {field} }}")).unwrap_err().to_string();
        assert!(error.contains(complaint), "{field} gave {error}");
    }
}

#[test]
fn bytes_that_are_no_descriptors_are_refused() {
    assert!(super::Contract::parse(b"\xff\xff").is_err());
    assert!(super::Contract::parse(b"").unwrap_err().to_string().contains("stampede.policy.v1.Permission"));
}

#[test]
fn the_contract_of_this_house_is_understood_whole() {
    let contract = house().unwrap_or_else(|error| panic!("{error}"));
    assert!(contract.methods().len() > 10);
    for method in contract.methods() {
        let peers = method.access.peers.iter().chain(&method.access.trusted_peers);
        assert!(peers.count() > 0, "{}", method.path);
    }
}
