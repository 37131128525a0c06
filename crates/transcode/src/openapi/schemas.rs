//! Messages, enums and fields to JSON Schema, each as canonical proto3 JSON writes it. Only what the routes reach is
//! in the document, and everything they reach is.

use std::collections::{BTreeMap, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use super::{required, rules};

pub(super) const STATUS_REF: &str = "#/components/schemas/google.rpc.Status";

pub(super) struct Schemas<'c> {
    pub(super) comments: &'c Comments,
    /// What `default` says of a refusal.
    pub(super) refused: &'c str,
    done: BTreeMap<String, Value>,
    /// Named by a `$ref`, not written yet.
    waiting: VecDeque<MessageDescriptor>,
}

impl<'c> Schemas<'c> {
    pub(super) fn new(comments: &'c Comments, refused: &'c str) -> Self {
        let done = BTreeMap::from_iter([("google.rpc.Status".into(), status())]);
        Self { comments, refused, done, waiting: VecDeque::new() }
    }

    /// Every schema named so far and all those they name.
    pub(super) fn finish(mut self) -> Value {
        while let Some(message) = self.waiting.pop_front() {
            let schema = self.object_without(&message, &[]);
            self.done.insert(message.full_name().into(), schema);
        }
        Value::Object(self.done.into_iter().collect())
    }

    /// A reference to a message, or the schema itself where its JSON is not an object of its fields.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = message.full_name();
        if !self.done.contains_key(name) {
            self.done.insert(name.into(), Value::Null);
            self.waiting.push_back(message.clone());
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    pub(super) fn is_inline(&self, message: &MessageDescriptor) -> bool {
        well_known(message).is_some()
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor) -> Value {
        let name = enumeration.full_name();
        if name == "google.protobuf.NullValue" {
            return json!({ "type": "null" });
        }
        if !self.done.contains_key(name) {
            let file = enumeration.parent_file();
            let names: Vec<_> = enumeration.values().map(|value| value.name().to_owned()).collect();
            let mut schema = json!({ "type": "string", "enum": names });
            let mut text = self.comments.of(&file, enumeration.path()).unwrap_or_default().to_owned();
            for value in enumeration.values() {
                if let Some(comment) = self.comments.of(&file, value.path()) {
                    text += &format!("\n- `{}`: {}", value.name(), comment.replace('\n', " "));
                }
            }
            if !text.is_empty() {
                schema["description"] = text.trim_start().into();
            }
            self.done.insert(name.into(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The object schema of a message, without the fields the path binds.
    pub(super) fn object_without(&mut self, message: &MessageDescriptor, bound: &[&str]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !bound.contains(&field.name())) {
            properties.insert(field.json_name().into(), self.field(&field));
            if self.is_required(&field) {
                required.push(Value::from(field.json_name()));
            }
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        let choices: Vec<_> = message.oneofs().filter(required::oneof).map(|oneof| choice(&oneof)).collect();
        if !choices.is_empty() {
            schema["allOf"] = choices.into();
        }
        if let Some(comment) = self.comments.of(&message.parent_file(), message.path()) {
            schema["description"] = comment.into();
        }
        if message.descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()) {
            schema["deprecated"] = true.into();
        }
        schema
    }

    pub(super) fn is_required(&self, field: &FieldDescriptor) -> bool {
        required::field(field)
    }

    /// A field with its comment and its rules.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = if field.is_map() {
            let value = field.kind().as_message().map(MessageDescriptor::map_entry_value_field);
            let value = value.map_or(Value::Bool(true), |value| self.one(&value.kind()));
            json!({ "type": "object", "additionalProperties": value })
        } else if field.is_list() {
            json!({ "type": "array", "items": self.one(&field.kind()) })
        } else {
            self.one(&field.kind())
        };
        let Some(members) = schema.as_object_mut() else { return schema };
        if let Some(comment) = self.comments.of(&field.parent_message().parent_file(), field.path()) {
            members.insert("description".into(), comment.into());
        }
        if let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
            rules::note(members, &format!("Only one member of `{}` may be given.", oneof.name()));
        }
        let behaviour = rules::behaviour(field);
        if behaviour.contains(&"OUTPUT_ONLY".to_owned()) {
            members.insert("readOnly".into(), true.into());
        }
        if behaviour.contains(&"INPUT_ONLY".to_owned()) {
            members.insert("writeOnly".into(), true.into());
        }
        if field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()) {
            members.insert("deprecated".into(), true.into());
        }
        rules::apply(field, members);
        schema
    }

    fn one(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(enumeration) => self.enumeration(enumeration),
            Kind::Double => number("double"),
            Kind::Float => number("float"),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => {
                json!({ "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX })
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({ "type": "string", "format": "int64", "pattern": "^-?[0-9]+$" })
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({ "type": "string", "format": "uint64", "pattern": "^[0-9]+$" })
            }
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        }
    }
}

/// Exactly one member of a oneof that has to be given.
fn choice(oneof: &OneofDescriptor) -> Value {
    let members: Vec<_> = oneof.fields().map(|field| json!({ "required": [field.json_name()] })).collect();
    json!({ "oneOf": members })
}

fn number(format: &str) -> Value {
    json!({ "oneOf": [
        { "type": "number", "format": format },
        { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] },
    ] })
}

/// Whether a query parameter can carry the message as one text.
pub(super) fn is_text_like(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    matches!(name, "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask")
        || (name.starts_with("google.protobuf.") && name.ends_with("Value") && is_wrapper(message))
}

fn is_wrapper(message: &MessageDescriptor) -> bool {
    let one_field = message.fields().len() == 1;
    one_field && message.get_field(1).is_some_and(|field| !field.is_list() && field.name() == "value")
}

fn well_known(message: &MessageDescriptor) -> Option<Value> {
    Some(match message.full_name() {
        "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "google.protobuf.Duration" => {
            json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$", "examples": ["1.5s"] })
        }
        "google.protobuf.FieldMask" => {
            json!({ "type": "string", "examples": ["displayName,address.city"] })
        }
        "google.protobuf.Any" => any(),
        "google.protobuf.Struct" => json!({ "type": "object", "additionalProperties": true }),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({ "type": "array", "items": {} }),
        "google.protobuf.Empty" => json!({ "type": "object" }),
        "google.protobuf.BoolValue" => json!({ "type": ["boolean", "null"] }),
        "google.protobuf.Int32Value" => json!({ "type": ["integer", "null"], "format": "int32" }),
        "google.protobuf.UInt32Value" => {
            json!({ "type": ["integer", "null"], "format": "uint32", "minimum": 0 })
        }
        "google.protobuf.Int64Value" => json!({ "type": ["string", "null"], "format": "int64" }),
        "google.protobuf.UInt64Value" => json!({ "type": ["string", "null"], "format": "uint64" }),
        "google.protobuf.StringValue" => json!({ "type": ["string", "null"] }),
        "google.protobuf.BytesValue" => json!({ "type": ["string", "null"], "contentEncoding": "base64" }),
        "google.protobuf.DoubleValue" | "google.protobuf.FloatValue" => {
            json!({ "type": ["number", "string", "null"] })
        }
        _ => return None,
    })
}

fn any() -> Value {
    json!({
        "type": "object",
        "properties": { "@type": { "type": "string", "examples": ["type.googleapis.com/google.rpc.ErrorInfo"] } },
        "required": ["@type"],
        "additionalProperties": true,
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a call was refused.",
        "properties": {
            "code": { "type": "integer", "format": "int32", "description": "A google.rpc.Code." },
            "message": { "type": "string", "description": "For people." },
            "details": { "type": "array", "items": any(), "description": "For programs: ErrorInfo, BadRequest, RetryInfo." },
        },
        "required": ["code", "message"],
    })
}
