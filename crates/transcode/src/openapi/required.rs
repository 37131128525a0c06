//! Which fields a request cannot leave out: those that say so, and those whose rules refuse the value an absent field has.

use prost_reflect::{DynamicMessage, FieldDescriptor, OneofDescriptor, Value as Proto};
use regex::Regex;

use super::rules::{behaviour, flag, get, of_field, of_oneof};

/// Whether the contract asks for the field, in words (`required`) or by a rule that zero or nothing breaks.
pub(super) fn field(field: &FieldDescriptor) -> bool {
    if behaviour(field).iter().any(|name| name == "REQUIRED") {
        return true;
    }
    let Some(rules) = of_field(field) else { return false };
    if flag(&rules, "required") {
        return true;
    }
    // A field that can be absent is checked only when it is there; one with `ignore` may be zero.
    let ignored = get(&rules, "ignore").is_some_and(|ignore| ignore != Proto::EnumNumber(0));
    if field.supports_presence() || ignored {
        return false;
    }
    rules
        .fields()
        .any(|(rule, value)| value.as_message().is_some_and(|inner| refuses_zero(rule.name(), inner)))
}

/// Whether one member of the oneof has to be given.
pub(super) fn oneof(oneof: &OneofDescriptor) -> bool {
    !oneof.is_synthetic() && of_oneof(oneof).is_some_and(|rules| flag(&rules, "required"))
}

fn refuses_zero(kind: &str, rules: &DynamicMessage) -> bool {
    match kind {
        "string" => refuses_empty_text(rules),
        "bytes" => at_least(rules, "min_len") || at_least(rules, "len"),
        "repeated" => at_least(rules, "min_items"),
        "map" => at_least(rules, "min_pairs"),
        "bool" => get(rules, "const") == Some(Proto::Bool(true)),
        "enum" => refuses_number(rules),
        "duration" | "timestamp" | "any" | "field_mask" => false,
        _ => refuses_number(rules),
    }
}

fn refuses_empty_text(rules: &DynamicMessage) -> bool {
    const SHAPES: [&str; 8] = ["uuid", "email", "hostname", "ip", "ipv4", "ipv6", "uri", "address"];
    let pattern = get(rules, "pattern").and_then(|pattern| Regex::new(pattern.as_str()?).ok());
    let texts = ["prefix", "suffix", "contains", "const"];
    at_least(rules, "min_len")
        || at_least(rules, "len")
        || SHAPES.iter().any(|shape| flag(rules, shape))
        || pattern.is_some_and(|pattern| !pattern.is_match(""))
        || texts.iter().any(|name| get(rules, name).is_some_and(|text| text.as_str() != Some("")))
        || refuses_in_lists(rules, |value| value.as_str() == Some(""))
}

fn refuses_number(rules: &DynamicMessage) -> bool {
    let bound = |name: &str, refuses: fn(f64) -> bool| {
        get(rules, name).as_ref().and_then(number).is_some_and(refuses)
    };
    bound("gt", |bound| bound >= 0.0)
        || bound("gte", |bound| bound > 0.0)
        || bound("lt", |bound| bound <= 0.0)
        || bound("lte", |bound| bound < 0.0)
        || bound("const", |wanted| wanted != 0.0)
        || refuses_in_lists(rules, |value| number(value) == Some(0.0))
}

/// The zero value is listed in `not_in`, or is not in `in`.
fn refuses_in_lists(rules: &DynamicMessage, is_zero: impl Fn(&Proto) -> bool) -> bool {
    let listed = |name: &str| {
        get(rules, name).and_then(|list| list.as_list().map(|values| values.iter().any(&is_zero)))
    };
    listed("not_in") == Some(true) || listed("in") == Some(false)
}

fn at_least(rules: &DynamicMessage, name: &str) -> bool {
    get(rules, name).as_ref().and_then(number).is_some_and(|least| least > 0.0)
}

/// Only its sign and whether it is zero matter, which a double keeps.
#[expect(clippy::cast_precision_loss, reason = "compared with zero only")]
pub(super) fn number(value: &Proto) -> Option<f64> {
    match value {
        Proto::I32(value) | Proto::EnumNumber(value) => Some(f64::from(*value)),
        Proto::U32(value) => Some(f64::from(*value)),
        Proto::I64(value) => Some(*value as f64),
        Proto::U64(value) => Some(*value as f64),
        Proto::F32(value) => Some(f64::from(*value)),
        Proto::F64(value) => Some(*value),
        Proto::Bool(_)
        | Proto::String(_)
        | Proto::Bytes(_)
        | Proto::Message(_)
        | Proto::List(_)
        | Proto::Map(_) => None,
    }
}
