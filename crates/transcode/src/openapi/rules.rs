//! `buf.validate.field` and `google.api.field_behavior` as JSON Schema keywords. Both are read by name from the
//! pool's extensions; a pool without them simply has no rules. Rules JSON Schema cannot say become sentences.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, OneofDescriptor, Value as Proto};
use serde_json::{Map, Value};

type Schema = Map<String, Value>;

fn extension(field: &FieldDescriptor, name: &str) -> Option<Proto> {
    let extension = field.parent_message().parent_pool().get_extension_by_name(name)?;
    let options = field.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// The rules of a field.
pub(super) fn of_field(field: &FieldDescriptor) -> Option<DynamicMessage> {
    extension(field, "buf.validate.field")?.as_message().cloned()
}

/// The rules of a oneof.
pub(super) fn of_oneof(oneof: &OneofDescriptor) -> Option<DynamicMessage> {
    let pool = oneof.parent_message().parent_pool();
    let extension = pool.get_extension_by_name("buf.validate.oneof")?;
    let options = oneof.options();
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().cloned())?
}

/// The rules of a list's items.
pub(super) fn repeated_items(rules: &DynamicMessage) -> Option<DynamicMessage> {
    get(get(rules, "repeated")?.as_message()?, "items")?.as_message().cloned()
}

/// Whether a rule that is yes or no is yes.
pub(super) fn flag(rules: &DynamicMessage, name: &str) -> bool {
    get(rules, name).and_then(|value| value.as_bool()).unwrap_or(false)
}

/// Names of the field's behaviours: `REQUIRED`, `OUTPUT_ONLY`, ...
pub(super) fn behaviour(field: &FieldDescriptor) -> Vec<String> {
    const NAME: &str = "google.api.field_behavior";
    let Some(Proto::List(numbers)) = extension(field, NAME) else { return Vec::new() };
    let kind =
        field.parent_message().parent_pool().get_extension_by_name(NAME).map(|extension| extension.kind());
    let Some(values) = kind.as_ref().and_then(|kind| kind.as_enum()) else { return Vec::new() };
    let numbers = numbers.iter().filter_map(Proto::as_enum_number);
    numbers.filter_map(|number| Some(values.get_value(number)?.name().to_owned())).collect()
}

/// Adds a sentence to the description.
pub(super) fn note(schema: &mut Schema, sentence: &str) {
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(text) => format!("{text}\n\n{sentence}"),
        None => sentence.to_owned(),
    };
    schema.insert("description".into(), text.into());
}

pub(super) fn apply(field: &FieldDescriptor, schema: &mut Schema) {
    let Some(rules) = of_field(field) else { return };
    constrain(&rules, schema);
    refuse_unspecified(field, &rules, schema);
    if flag(&rules, "required") {
        let least = match schema.get("type").and_then(Value::as_str) {
            Some("string") if !schema.contains_key("format") && !schema.contains_key("pattern") => {
                "minLength"
            }
            Some("array") => "minItems",
            Some("object") if field.is_map() => "minProperties",
            Some(_) | None => return,
        };
        schema.entry(least).or_insert(1.into());
    }
}

fn constrain(rules: &DynamicMessage, schema: &mut Schema) {
    for (rule, value) in rules.fields() {
        let Some(inner) = value.as_message() else { continue };
        match rule.name() {
            "string" => string(inner, schema),
            "bytes" => bytes(inner, schema),
            "repeated" => repeated(inner, schema),
            "map" => map(inner, schema),
            "enum" => {}
            "bool" => constant(inner, schema),
            "duration" | "timestamp" | "any" | "field_mask" => {}
            _ => number(inner, schema),
        }
    }
}

/// A rule, where it is set.
pub(super) fn get(rules: &DynamicMessage, name: &str) -> Option<Proto> {
    rules.has_field_by_name(name).then(|| rules.get_field_by_name(name))?.map(|value| value.into_owned())
}

/// 64-bit integers are JSON strings, and are compared with the strings.
fn json(value: &Proto, quoted: bool) -> Option<Value> {
    match value {
        Proto::Bool(value) => Some((*value).into()),
        Proto::I32(value) | Proto::EnumNumber(value) => Some((*value).into()),
        Proto::U32(value) => Some((*value).into()),
        Proto::I64(value) if quoted => Some(value.to_string().into()),
        Proto::U64(value) if quoted => Some(value.to_string().into()),
        Proto::I64(value) => Some((*value).into()),
        Proto::U64(value) => Some((*value).into()),
        Proto::F32(value) => Some(f64::from(*value).into()),
        Proto::F64(value) => Some((*value).into()),
        Proto::String(value) => Some(value.as_str().into()),
        Proto::Bytes(_) | Proto::Message(_) | Proto::List(_) | Proto::Map(_) => None,
    }
}

fn copy(rules: &DynamicMessage, schema: &mut Schema, from: &str, to: &str) {
    if let Some(value) = get(rules, from).and_then(|value| json(&value, false)) {
        schema.insert(to.into(), value);
    }
}

fn constant(rules: &DynamicMessage, schema: &mut Schema) {
    if let Some(value) = get(rules, "const").and_then(|value| json(&value, true)) {
        schema.insert("const".into(), value);
    }
}

fn choices(rules: &DynamicMessage, schema: &mut Schema) {
    constant(rules, schema);
    let list = |name: &str| -> Option<Vec<Value>> {
        get(rules, name)?
            .as_list()
            .map(|values| values.iter().filter_map(|value| json(value, true)).collect())
    };
    if let Some(values) = list("in") {
        schema.insert("enum".into(), values.into());
    }
    if let Some(values) = list("not_in") {
        schema.insert("not".into(), serde_json::json!({ "enum": values }));
    }
    if let Some(values) = list("example") {
        schema.insert("examples".into(), values.into());
    }
}

fn number(rules: &DynamicMessage, schema: &mut Schema) {
    choices(rules, schema);
    let quoted = schema.get("type").is_some_and(|kind| kind == "string");
    let words = [
        ("gt", "exclusiveMinimum", "more than"),
        ("gte", "minimum", "at least"),
        ("lt", "exclusiveMaximum", "less than"),
        ("lte", "maximum", "at most"),
    ];
    for (rule, keyword, words) in words {
        let Some(value) = get(rules, rule).and_then(|value| json(&value, false)) else { continue };
        if quoted {
            note(schema, &format!("Must be {words} {value}."));
        } else {
            schema.insert(keyword.into(), value);
        }
    }
}

fn string(rules: &DynamicMessage, schema: &mut Schema) {
    choices(rules, schema);
    for (from, to) in [
        ("min_len", "minLength"),
        ("max_len", "maxLength"),
        ("len", "minLength"),
        ("len", "maxLength"),
        ("pattern", "pattern"),
    ] {
        copy(rules, schema, from, to);
    }
    for (rule, format) in [
        ("email", "email"),
        ("hostname", "hostname"),
        ("ipv4", "ipv4"),
        ("ipv6", "ipv6"),
        ("uri", "uri"),
        ("uri_ref", "uri-reference"),
        ("uuid", "uuid"),
    ] {
        if get(rules, rule).and_then(|value| value.as_bool()) == Some(true) {
            schema.insert("format".into(), format.into());
        }
    }
    for (rule, words) in [("prefix", "begin with"), ("suffix", "end with"), ("contains", "contain")] {
        if let Some(text) = get(rules, rule).and_then(|value| json(&value, false)) {
            note(schema, &format!("Must {words} {text}."));
        }
    }
}

/// The schema's text is base64, so lengths in bytes are said in words.
fn bytes(rules: &DynamicMessage, schema: &mut Schema) {
    for (rule, words) in [("min_len", "at least"), ("max_len", "at most"), ("len", "exactly")] {
        if let Some(length) = get(rules, rule).and_then(|value| json(&value, false)) {
            note(schema, &format!("Must have {words} {length} bytes."));
        }
    }
}

fn repeated(rules: &DynamicMessage, schema: &mut Schema) {
    copy(rules, schema, "min_items", "minItems");
    copy(rules, schema, "max_items", "maxItems");
    copy(rules, schema, "unique", "uniqueItems");
    inner(rules, "items", schema, "items");
}

fn map(rules: &DynamicMessage, schema: &mut Schema) {
    copy(rules, schema, "min_pairs", "minProperties");
    copy(rules, schema, "max_pairs", "maxProperties");
    inner(rules, "values", schema, "additionalProperties");
    let mut names = Schema::new();
    if let Some(keys) = get(rules, "keys").as_ref().and_then(Proto::as_message) {
        constrain(keys, &mut names);
        schema.insert("propertyNames".into(), Value::Object(names));
    }
}

fn inner(rules: &DynamicMessage, rule: &str, schema: &mut Schema, keyword: &str) {
    let rules = get(rules, rule);
    let target = schema.get_mut(keyword).and_then(Value::as_object_mut);
    if let (Some(rules), Some(target)) = (rules.as_ref().and_then(Proto::as_message), target) {
        constrain(rules, target);
    }
}

/// The numbers of enum rules mean names in JSON; the usual rule is "not the zero value".
fn refuse_unspecified(field: &FieldDescriptor, rules: &DynamicMessage, schema: &mut Schema) {
    let Kind::Enum(values) = field.kind() else { return };
    let items = repeated_items(rules);
    let target =
        if field.is_list() { schema.get_mut("items").and_then(Value::as_object_mut) } else { Some(schema) };
    let (Some(rules), Some(target)) = (if field.is_list() { items.as_ref() } else { Some(rules) }, target)
    else {
        return;
    };
    let not_in = get(rules, "enum").and_then(|rules| get(rules.as_message()?, "not_in"));
    let zero = not_in.is_some_and(|list| list.as_list().is_some_and(|list| list.contains(&Proto::I32(0))));
    if let Some(name) = values.get_value(0).filter(|_| zero) {
        target.insert("not".into(), serde_json::json!({ "enum": [name.name()] }));
    }
}
