//! Compiles `buf.validate` options into the rules the kit checks. A rule this house does not check is a problem of the
//! contract, so that a declared rule is always a kept one.

mod fields;
mod read;

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, ExtensionDescriptor, FieldDescriptor, Kind as Declared, MessageDescriptor,
};

use crate::validate::{FieldRules, Instant, Kind, MessageId, MessageRules, OneofRules, Ruleset};
use read::options_of;

const FIELD: &str = "buf.validate.field";
const ONEOF: &str = "buf.validate.oneof";
const MESSAGE: &str = "buf.validate.message";
/// Options of other people's messages are theirs.
const FOREIGN: [&str; 2] = ["google.", "buf."];

pub(super) struct Compiler {
    field: Option<ExtensionDescriptor>,
    oneof: Option<ExtensionDescriptor>,
    message: Option<ExtensionDescriptor>,
    ids: HashMap<String, MessageId>,
    compiled: Vec<MessageRules>,
}

impl Compiler {
    /// Compiles every message of the contract, used by a request or not: a bad rule is said before it matters.
    pub(super) fn new(pool: &DescriptorPool, problems: &mut Vec<String>) -> Self {
        let extension = |name| pool.get_extension_by_name(name);
        let mut compiler = Compiler {
            field: extension(FIELD),
            oneof: extension(ONEOF),
            message: extension(MESSAGE),
            ids: HashMap::new(),
            compiled: Vec::new(),
        };
        for message in pool.all_messages() {
            if !message.is_map_entry()
                && !FOREIGN.iter().any(|foreign| message.full_name().starts_with(foreign))
            {
                compiler.message(&message, problems);
            }
        }
        compiler
    }

    pub(super) fn message(&mut self, message: &MessageDescriptor, problems: &mut Vec<String>) -> MessageId {
        if let Some(id) = self.ids.get(message.full_name()) {
            return *id;
        }
        // The place is taken before the fields are read: a message may hold itself.
        let id = MessageId(self.compiled.len());
        self.ids.insert(message.full_name().to_owned(), id);
        self.compiled.push(MessageRules::default());
        if self.message.as_ref().is_some_and(|extension| message.options().has_extension(extension)) {
            problems.push(format!("{}: {MESSAGE} is not checked by this house", message.full_name()));
        }
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let fields = fields.iter().filter_map(|field| self.field_rules(field, problems)).collect();
        let oneofs = real_oneofs(message).map(|oneof| self.oneof_rules(&oneof, problems)).collect();
        let instant = match message.full_name() {
            "google.protobuf.Timestamp" => Some(Instant::Timestamp),
            "google.protobuf.Duration" => Some(Instant::Duration),
            _ => None,
        };
        self.compiled[id.0] = MessageRules { fields, oneofs, instant };
        id
    }

    pub(super) fn finish(self) -> Ruleset {
        Ruleset { messages: self.compiled }
    }

    fn field_rules(&mut self, field: &FieldDescriptor, problems: &mut Vec<String>) -> Option<FieldRules> {
        let declared = self.field.as_ref().and_then(|extension| options_of(&field.options(), extension));
        let kind = self.kind(&fields::value_kind(field), problems);
        let result = fields::compile(field, kind, declared.as_ref());
        result.map_err(|problem| problems.push(format!("{}: {problem}", field.full_name()))).ok()
    }

    fn oneof_rules(&self, oneof: &prost_reflect::OneofDescriptor, problems: &mut Vec<String>) -> OneofRules {
        let declared = self.oneof.as_ref().and_then(|extension| options_of(&oneof.options(), extension));
        let required = declared.map_or(Ok(false), |declared| read::only_required(&declared));
        let required = required.unwrap_or_else(|problem| {
            problems.push(format!("{}: {problem}", oneof.full_name()));
            false
        });
        OneofRules { name: oneof.name().to_owned(), required }
    }

    fn kind(&mut self, declared: &Declared, problems: &mut Vec<String>) -> Kind {
        match declared {
            Declared::Message(message) => Kind::Message(self.message(message, problems)),
            Declared::Double => Kind::Double,
            Declared::Float => Kind::Float,
            Declared::Int32 => Kind::Int32,
            Declared::Int64 => Kind::Int64,
            Declared::Uint32 => Kind::Uint32,
            Declared::Uint64 => Kind::Uint64,
            Declared::Sint32 => Kind::Sint32,
            Declared::Sint64 => Kind::Sint64,
            Declared::Fixed32 => Kind::Fixed32,
            Declared::Fixed64 => Kind::Fixed64,
            Declared::Sfixed32 => Kind::Sfixed32,
            Declared::Sfixed64 => Kind::Sfixed64,
            Declared::Bool => Kind::Bool,
            Declared::String => Kind::String,
            Declared::Bytes => Kind::Bytes,
            Declared::Enum(_) => Kind::Enum,
        }
    }
}

/// Every oneof but those that `optional` makes; their order is their index.
fn real_oneofs(message: &MessageDescriptor) -> impl Iterator<Item = prost_reflect::OneofDescriptor> + '_ {
    message.oneofs().filter(|oneof| !oneof.is_synthetic())
}
