//! Plans: what a descriptor says about a message, laid out for the two hot paths. Built once, never changed.

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind as Descriptor, MessageDescriptor};

use crate::names::Names;
use crate::schema::{EnumId, MessageId};
use crate::wire;

/// Field numbers below this are looked up in a table, the others by bisection.
const DENSE_NUMBERS: usize = 256;

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
    /// `"jsonName":`, escaped and ready to be copied out.
    pub(crate) json_key: Box<[u8]>,
    /// The tag as written before a value, or before the packed list.
    pub(crate) tag: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) repetition: Repetition,
    /// Singular and without presence: zero is the same as absent.
    pub(crate) implicit: bool,
    /// Index of the (real) oneof in the message.
    pub(crate) oneof: Option<usize>,
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

    /// By JSON name or original name. `hint` is the index most likely next: callers mostly write in order.
    pub(crate) fn field_named(&self, name: &str, hint: usize) -> Option<usize> {
        match self.fields.get(hint) {
            Some(field) if *field.json_name == *name => Some(hint),
            Some(_) | None => self.by_name.get(name).map(usize::from),
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
    let mut tag = Vec::new();
    wire::put_tag(&mut tag, field.number(), if packed { wire::LENGTH } else { kind.wire_type() });
    let mut json_key = serde_json::to_vec(field.json_name()).expect("a string is always JSON");
    json_key.push(b':');
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let oneof =
        oneof.and_then(|own| field.parent_message().oneofs().position(|other| other.path() == own.path()));
    FieldPlan {
        number: field.number(),
        name: field.name().into(),
        json_name: field.json_name().into(),
        json_key: json_key.into(),
        tag: tag.into(),
        kind,
        repetition,
        implicit: repetition == Repetition::Once && !field.supports_presence(),
        oneof,
    }
}

#[derive(Debug)]
pub(crate) struct EnumPlan {
    pub(crate) full_name: Box<str>,
    /// `google.protobuf.NullValue` is JSON's null.
    pub(crate) is_null: bool,
    by_name: Names<i32>,
    /// By rising number, each with its quoted name.
    by_number: Vec<(i32, Box<[u8]>)>,
    /// What an absent value means.
    pub(crate) default: i32,
}

impl EnumPlan {
    pub(crate) fn compile(enumeration: &EnumDescriptor) -> Self {
        let (mut by_name, mut by_number) = (Names::default(), Vec::new());
        for value in enumeration.values() {
            by_name.add(value.name(), value.number());
            let quoted = serde_json::to_vec(value.name()).expect("a string is always JSON");
            by_number.push((value.number(), quoted.into_boxed_slice()));
        }
        // A stable sort and the first of equals: of aliases the one declared first is written.
        by_number.sort_by_key(|(number, _)| *number);
        by_number.dedup_by_key(|(number, _)| *number);
        Self {
            full_name: enumeration.full_name().into(),
            is_null: enumeration.full_name() == "google.protobuf.NullValue",
            by_name,
            by_number,
            default: enumeration.default_value().number(),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.by_name.get(name)
    }

    pub(crate) fn quoted_name(&self, number: i32) -> Option<&[u8]> {
        let index = self.by_number.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.by_number[index].1)
    }
}

/// Where the plans of other types will stand.
pub(crate) trait Ids {
    fn message(&self, message: &MessageDescriptor) -> MessageId;
    fn enumeration(&self, enumeration: &EnumDescriptor) -> EnumId;
}
