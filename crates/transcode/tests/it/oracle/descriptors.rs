//! Random contracts: files nobody would write, each field kind, number and option somewhere among them.

use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto, FieldDescriptorProto,
    FieldOptions, FileDescriptorProto, MessageOptions, OneofDescriptorProto,
};
use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::dice::Dice;

const PACKAGE: &str = "random.v1";

/// Where tags grow by a byte, tables end, and numbers do.
const NUMBERS: [i32; 20] = [
    1,
    2,
    3,
    14,
    15,
    16,
    17,
    127,
    128,
    255,
    256,
    257,
    2047,
    2048,
    18_999,
    20_000,
    262_143,
    262_144,
    536_870_910,
    536_870_911,
];

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

const KEYS: [Type; 12] = [
    Type::Int32,
    Type::Int64,
    Type::Uint32,
    Type::Uint64,
    Type::Sint32,
    Type::Sint64,
    Type::Fixed32,
    Type::Fixed64,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Bool,
    Type::String,
];

const KNOWN: [&str; 6] = [
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.Int64Value",
];

const FILES: [&str; 5] = ["timestamp", "duration", "field_mask", "struct", "wrappers"];

/// A pool of one random file, and its messages.
pub fn pool(dice: &mut Dice<'_>) -> (DescriptorPool, Vec<MessageDescriptor>) {
    let proto3 = !dice.byte().is_multiple_of(4);
    let messages = 1 + dice.byte() % 4;
    let file = FileDescriptorProto {
        name: Some("random.proto".into()),
        package: Some(PACKAGE.into()),
        syntax: Some(if proto3 { "proto3" } else { "proto2" }.into()),
        dependency: FILES.map(|file| format!("google/protobuf/{file}.proto")).into(),
        enum_type: vec![enumeration(dice)],
        message_type: (0..messages).map(|index| message(dice, index, messages, proto3)).collect(),
        ..Default::default()
    };
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_proto(file).unwrap();
    let all = pool.all_messages().filter(|m| m.package_name() == PACKAGE && !m.is_map_entry()).collect();
    (pool, all)
}

/// Aliases, holes, negative numbers and both ends of what an enum may be.
fn enumeration(dice: &mut Dice<'_>) -> EnumDescriptorProto {
    let numbers = [-1, 1, 1, 3, i32::MAX, i32::MIN, 2, -1];
    let value = |(index, number): (usize, i32)| EnumValueDescriptorProto {
        name: Some(format!("VALUE_{index}")),
        number: Some(number),
        ..Default::default()
    };
    let some = numbers.into_iter().filter(|_| !dice.byte().is_multiple_of(4));
    EnumDescriptorProto {
        name: Some("Choice".into()),
        value: std::iter::once(0).chain(some).enumerate().map(value).collect(),
        options: Some(EnumOptions { allow_alias: Some(true), ..Default::default() }),
        ..Default::default()
    }
}

fn message(dice: &mut Dice<'_>, index: u8, messages: u8, proto3: bool) -> DescriptorProto {
    let mut message = DescriptorProto { name: Some(format!("M{index}")), ..Default::default() };
    let mut synthetic = Vec::new();
    let mut numbers = NUMBERS.to_vec();
    for place in 0..usize::from(dice.byte() % 12) {
        let number = numbers.swap_remove(usize::from(dice.byte()) % numbers.len());
        let mut field = field(dice, place, number);
        match dice.byte() % 8 {
            0..=3 => set_type(dice, &mut field, messages),
            4 | 5 => {
                set_type(dice, &mut field, messages);
                field.set_label(Label::Repeated);
                let packable = !matches!(field.r#type(), Type::String | Type::Bytes | Type::Message);
                if packable && !dice.byte().is_multiple_of(3) {
                    let packed = Some(dice.byte().is_multiple_of(2));
                    field.options = Some(FieldOptions { packed, ..Default::default() });
                }
            }
            6 => message.nested_type.push(map(dice, &mut field, index, messages)),
            _ => {
                set_type(dice, &mut field, messages);
                if dice.byte().is_multiple_of(2) {
                    if message.oneof_decl.is_empty() {
                        message.oneof_decl.push(oneof("choice".into()));
                    }
                    field.oneof_index = Some(0);
                } else if proto3 {
                    field.proto3_optional = Some(true);
                    synthetic.push(message.field.len());
                }
            }
        }
        message.field.push(field);
    }
    for place in synthetic {
        message.field[place].oneof_index = i32::try_from(message.oneof_decl.len()).ok();
        message.oneof_decl.push(oneof(format!("_f{place}")));
    }
    message
}

fn oneof(name: String) -> OneofDescriptorProto {
    OneofDescriptorProto { name: Some(name), ..Default::default() }
}

/// Names in every style, and JSON names that must be escaped or are another field's own name.
fn field(dice: &mut Dice<'_>, place: usize, number: i32) -> FieldDescriptorProto {
    let style = ["plain", "snake_case_name", "with_1_digit_", "Upper", "_before", "a__b", "x9_y8"];
    let style = style[usize::from(dice.byte()) % style.len()];
    let json_name = match dice.byte() % 6 {
        0 => Some(format!("odd \"\\\n name é {place}")),
        1 => Some(format!("{place}")),
        _ => None,
    };
    let mut field = FieldDescriptorProto {
        name: Some(format!("{style}_{place}")),
        number: Some(number),
        json_name,
        ..Default::default()
    };
    field.set_label(Label::Optional);
    field
}

fn set_type(dice: &mut Dice<'_>, field: &mut FieldDescriptorProto, messages: u8) {
    match dice.byte() % 4 {
        0 => {
            field.set_type(Type::Message);
            let name = match dice.byte() % 3 {
                0 => KNOWN[usize::from(dice.byte()) % KNOWN.len()].to_owned(),
                _ => format!("{PACKAGE}.M{}", dice.byte() % messages),
            };
            field.type_name = Some(format!(".{name}"));
        }
        1 if dice.byte().is_multiple_of(2) => {
            field.set_type(Type::Enum);
            field.type_name = Some(format!(".{PACKAGE}.Choice"));
        }
        _ => field.set_type(SCALARS[usize::from(dice.byte()) % SCALARS.len()]),
    }
}

/// Makes the field a map; gives its entry.
fn map(dice: &mut Dice<'_>, field: &mut FieldDescriptorProto, index: u8, messages: u8) -> DescriptorProto {
    let part = |name: &str, number| {
        let mut part =
            FieldDescriptorProto { name: Some(name.into()), number: Some(number), ..Default::default() };
        part.set_label(Label::Optional);
        part
    };
    let (mut key, mut value) = (part("key", 1), part("value", 2));
    key.set_type(KEYS[usize::from(dice.byte()) % KEYS.len()]);
    set_type(dice, &mut value, messages);
    let name: String = field
        .name()
        .split('_')
        .map(|word| word[..word.len().min(1)].to_uppercase() + word.get(1..).unwrap_or(""))
        .collect();
    let name = format!("{name}Entry");
    field.set_type(Type::Message);
    field.set_label(Label::Repeated);
    field.type_name = Some(format!(".{PACKAGE}.M{index}.{name}"));
    DescriptorProto {
        name: Some(name),
        field: vec![key, value],
        options: Some(MessageOptions { map_entry: Some(true), ..Default::default() }),
        ..Default::default()
    }
}
