//! Plans: what a descriptor says about a message, laid out for the two hot paths. Built once, never changed.

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind as Descriptor, MessageDescriptor};

use crate::names::Names;
use crate::schema::{EnumId, MessageId};
use crate::snippet::Snippet;
use crate::wire;

/// Field numbers below this are looked up in a table, the others by bisection.
const DENSE_NUMBERS: usize = 256;

/// How many fields after the expected one are compared before the name table is asked.
const NEAR: usize = 8;

const NULL_VALUE: &str = "google.protobuf.NullValue";

/// No field: an empty place in the dense table.
const NO_FIELD: u16 = u16::MAX;

/// The messages whose JSON is not an object of their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Ordinary,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// `google.protobuf.*Value`: the JSON is that of field 1.
    Wrapper,
}

impl Shape {
    fn of(message: &MessageDescriptor) -> Self {
        match message.full_name() {
            "google.protobuf.Any" => Self::Any,
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Duration" => Self::Duration,
            "google.protobuf.FieldMask" => Self::FieldMask,
            "google.protobuf.Struct" => Self::Struct,
            "google.protobuf.Value" => Self::Value,
            "google.protobuf.ListValue" => Self::ListValue,
            "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue" => Self::Wrapper,
            _ => Self::Ordinary,
        }
    }
}

/// A field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    /// A message between group tags (proto2 groups, editions' delimited encoding).
    Group(MessageId),
}

impl Kind {
    fn of(field: &FieldDescriptor, ids: &dyn Ids) -> Self {
        match field.kind() {
            Descriptor::Double => Self::Double,
            Descriptor::Float => Self::Float,
            Descriptor::Int32 => Self::Int32,
            Descriptor::Int64 => Self::Int64,
            Descriptor::Uint32 => Self::Uint32,
            Descriptor::Uint64 => Self::Uint64,
            Descriptor::Sint32 => Self::Sint32,
            Descriptor::Sint64 => Self::Sint64,
            Descriptor::Fixed32 => Self::Fixed32,
            Descriptor::Fixed64 => Self::Fixed64,
            Descriptor::Sfixed32 => Self::Sfixed32,
            Descriptor::Sfixed64 => Self::Sfixed64,
            Descriptor::Bool => Self::Bool,
            Descriptor::String => Self::String,
            Descriptor::Bytes => Self::Bytes,
            Descriptor::Enum(inner) => Self::Enum(ids.enumeration(&inner)),
            Descriptor::Message(inner) if field.is_group() => Self::Group(ids.message(&inner)),
            Descriptor::Message(inner) => Self::Message(ids.message(&inner)),
        }
    }

    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => wire::FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => wire::FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => wire::LENGTH,
            Self::Group(_) => wire::GROUP_START,
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Bool => wire::VARINT,
            Self::Enum(_) => wire::VARINT,
        }
    }

    pub(crate) fn message(self) -> Option<MessageId> {
        if let Self::Message(id) | Self::Group(id) = self { Some(id) } else { None }
    }
}

/// How often a field may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repetition {
    Once,
    List {
        packed: bool,
    },
    /// The field's message is the entry: key in field 1, value in field 2.
    Map,
}

#[derive(Debug)]
pub(crate) struct FieldPlan {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// `"jsonName":`, escaped.
    pub(crate) json_key: Box<[u8]>,
    /// The same after a comma.
    comma_key: Snippet,
    /// The key and the value an absent field has in JSON, after a comma; empty when it is then left out.
    comma_default: Snippet,
    /// The JSON of an absent field where some value must stand.
    pub(crate) default_json: Box<[u8]>,
    /// Written before a value, or before the packed list.
    tag: u32,
    pub(crate) kind: Kind,
    /// Of one value; the tag's is another where the list is packed.
    pub(crate) wire_type: u8,
    /// A list whose values may also come packed.
    pub(crate) packable: bool,
    pub(crate) repetition: Repetition,
    /// Singular and without presence: zero is the same as absent.
    pub(crate) implicit: bool,
    /// Index of the (real) oneof in the message.
    pub(crate) oneof: Option<usize>,
}

impl FieldPlan {
    /// The key, after a comma unless it is the first.
    pub(crate) fn put_key(&self, out: &mut Vec<u8>, first: &mut bool) {
        put_member(&self.comma_key, out, first);
    }

    /// The whole member an absent field is written as, if it is.
    pub(crate) fn put_default(&self, out: &mut Vec<u8>, first: &mut bool) {
        if !self.comma_default.is_empty() {
            put_member(&self.comma_default, out, first);
        }
    }

    pub(crate) fn put_tag(&self, out: &mut Vec<u8>) {
        wire::put_varint(out, u64::from(self.tag));
    }
}

/// Something with a comma before it, which the first of an object is written without.
fn put_member(member: &Snippet, out: &mut Vec<u8>, first: &mut bool) {
    if std::mem::take(first) {
        member.put_rest(out);
    } else {
        member.put(out);
    }
}

#[derive(Debug)]
pub(crate) struct MessagePlan {
    pub(crate) full_name: Box<str>,
    pub(crate) shape: Shape,
    /// Inside an Any its JSON stands under `value`: it has a form of its own, or is `google.protobuf.Empty`.
    pub(crate) boxed_in_any: bool,
    /// By rising number.
    pub(crate) fields: Vec<FieldPlan>,
    /// Names of the real oneofs.
    pub(crate) oneofs: Vec<Box<str>>,
    by_name: Names<u16>,
    dense: Vec<u16>,
}

impl MessagePlan {
    pub(crate) fn compile(message: &MessageDescriptor, ids: &dyn Ids) -> Self {
        let mut fields: Vec<_> = message.fields().map(|field| compile_field(&field, ids)).collect();
        fields.sort_by_key(|field| field.number);
        fields.truncate(usize::from(NO_FIELD));
        let (mut by_name, mut dense) = (Names::default(), Vec::new());
        for (index, field) in (0u16..).zip(&fields) {
            by_name.add(&field.json_name, index);
            let number = field.number as usize;
            if number < DENSE_NUMBERS {
                dense.resize(number + 1, NO_FIELD);
                dense[number] = index;
            }
        }
        // JSON names first: where one field's JSON name is another's original name, the JSON name has it.
        for (index, field) in (0u16..).zip(&fields) {
            by_name.add(&field.name, index);
        }
        let oneofs = message.oneofs().map(|oneof| oneof.name().into()).collect();
        let shape = Shape::of(message);
        let boxed_in_any = shape != Shape::Ordinary || message.full_name() == "google.protobuf.Empty";
        Self { full_name: message.full_name().into(), shape, boxed_in_any, fields, oneofs, by_name, dense }
    }

    /// By JSON name or original name. `hint` is the index most likely next: callers mostly write in order, and leave
    /// out a few.
    pub(crate) fn field_named(&self, name: &str, hint: usize) -> Option<usize> {
        let near = self.fields.get(hint..).unwrap_or_default().iter().take(NEAR);
        match near.zip(hint..).find(|(field, _)| *field.json_name == *name) {
            Some((_, index)) => Some(index),
            None => self.by_name.get(name).map(usize::from),
        }
    }

    pub(crate) fn field_numbered(&self, number: u32) -> Option<usize> {
        if (number as usize) < DENSE_NUMBERS {
            let index = *self.dense.get(number as usize)?;
            return (index != NO_FIELD).then_some(usize::from(index));
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

fn compile_field(field: &FieldDescriptor, ids: &dyn Ids) -> FieldPlan {
    let kind = Kind::of(field, ids);
    let repetition = if field.is_map() {
        Repetition::Map
    } else if field.cardinality() == Cardinality::Repeated {
        Repetition::List { packed: field.is_packed() }
    } else {
        Repetition::Once
    };
    let packed = repetition == Repetition::List { packed: true };
    let wire_type = if packed { wire::LENGTH } else { kind.wire_type() };
    let implicit = repetition == Repetition::Once && !field.supports_presence();
    let comma_key = [b",", quoted(field.json_name()).as_slice(), b":"].concat();
    let comma_default = if implicit || repetition != Repetition::Once {
        [comma_key.as_slice(), &default_json(field, kind, repetition)].concat()
    } else {
        Vec::new()
    };
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let oneof =
        oneof.and_then(|own| field.parent_message().oneofs().position(|other| other.path() == own.path()));
    FieldPlan {
        number: field.number(),
        name: field.name().into(),
        json_name: field.json_name().into(),
        json_key: comma_key[1..].into(),
        comma_key: Snippet::new(&comma_key),
        comma_default: Snippet::new(&comma_default),
        tag: (field.number() << 3) | u32::from(wire_type),
        kind,
        wire_type: kind.wire_type(),
        packable: matches!(repetition, Repetition::List { .. })
            && !matches!(kind.wire_type(), wire::LENGTH | wire::GROUP_START),
        repetition,
        default_json: default_json(field, kind, repetition).into(),
        implicit,
        oneof,
    }
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a string is always JSON")
}

fn default_json(field: &FieldDescriptor, kind: Kind, repetition: Repetition) -> Vec<u8> {
    let text: &[u8] = match (repetition, kind) {
        (Repetition::List { .. }, _) => b"[]",
        (Repetition::Map, _) => b"{}",
        (Repetition::Once, Kind::Message(_) | Kind::Group(_)) => b"null",
        (Repetition::Once, Kind::String | Kind::Bytes) => b"\"\"",
        (Repetition::Once, Kind::Bool) => b"false",
        (Repetition::Once, Kind::Double | Kind::Float) => b"0.0",
        (Repetition::Once, Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64) => {
            b"\"0\""
        }
        (Repetition::Once, Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32) => {
            b"0"
        }
        (Repetition::Once, Kind::Enum(_)) => {
            let kind = field.kind();
            return match kind.as_enum() {
                Some(inner) if inner.full_name() != NULL_VALUE => quoted(inner.default_value().name()),
                Some(_) | None => b"null".to_vec(),
            };
        }
    };
    text.to_vec()
}

#[derive(Debug)]
pub(crate) struct EnumPlan {
    pub(crate) full_name: Box<str>,
    /// `google.protobuf.NullValue` is JSON's null.
    pub(crate) is_null: bool,
    by_name: Names<i32>,
    /// By rising number, each with its quoted name.
    by_number: Vec<(i32, Snippet)>,
}

impl EnumPlan {
    pub(crate) fn compile(enumeration: &EnumDescriptor) -> Self {
        let (mut by_name, mut by_number) = (Names::default(), Vec::new());
        for value in enumeration.values() {
            by_name.add(value.name(), value.number());
            by_number.push((value.number(), Snippet::new(&quoted(value.name()))));
        }
        // A stable sort and the first of equals: of aliases the one declared first is written.
        by_number.sort_by_key(|(number, _)| *number);
        by_number.dedup_by_key(|(number, _)| *number);
        Self {
            full_name: enumeration.full_name().into(),
            is_null: enumeration.full_name() == NULL_VALUE,
            by_name,
            by_number,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.by_name.get(name)
    }

    pub(crate) fn quoted_name(&self, number: i32) -> Option<&Snippet> {
        // Most enums count from zero without a gap.
        if let Some((same, name)) = usize::try_from(number).ok().and_then(|index| self.by_number.get(index))
            && *same == number
        {
            return Some(name);
        }
        let index = self.by_number.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.by_number[index].1)
    }
}

/// Where the plans of other types will stand.
pub(crate) trait Ids {
    fn message(&self, message: &MessageDescriptor) -> MessageId;
    fn enumeration(&self, enumeration: &EnumDescriptor) -> EnumId;
}
