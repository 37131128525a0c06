//! Compiles the rules of one field: which rule set fits which type, and what each rule becomes.

use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind as Declared, Value};
use regex::Regex;

use super::read::{Options, float, int};
use crate::validate::{
    BytesRules, Cardinality, EnumRules, FieldRules, FloatRules, IntRules, Kind, Range, StringRules,
    ValueRules,
};

const IGNORE_IF_ZERO_VALUE: i32 = 1;

type Compiled<T> = Result<T, String>;

/// What `FieldRules` says beside its rule set.
#[derive(Default)]
struct Common {
    required: bool,
    ignore_zero: bool,
    rules: Option<(String, DynamicMessage)>,
}

/// The type a rule speaks of: a map's is its value's.
pub(super) fn value_kind(field: &FieldDescriptor) -> Declared {
    let kind = field.kind();
    let entry = kind.as_message().filter(|_| field.is_map());
    entry.map_or_else(|| field.kind(), |entry| entry.map_entry_value_field().kind())
}

pub(super) fn compile(
    field: &FieldDescriptor,
    kind: Kind,
    declared: Option<&DynamicMessage>,
) -> Compiled<FieldRules> {
    if field.is_group() {
        return Err("groups are not taken here".to_owned());
    }
    let common = declared.map_or_else(|| Ok(Common::default()), Common::read)?;
    let (cardinality, value) = match (field.is_map(), field.is_list()) {
        (true, _) => map(field, common.rules.as_ref())?,
        (false, true) => list(field, common.rules.as_ref())?,
        (false, false) => (Cardinality::One, value_rules(&field.kind(), common.rules.as_ref())?),
    };
    let real_oneof = |index: &prost_reflect::OneofDescriptor| {
        super::real_oneofs(field.parent_message()).position(|oneof| oneof == *index)
    };
    Ok(FieldRules {
        number: field.number(),
        name: field.name().to_owned(),
        kind,
        cardinality,
        presence: field.supports_presence(),
        required: common.required,
        ignore_zero: common.ignore_zero,
        oneof: field.containing_oneof().as_ref().and_then(real_oneof),
        value,
    })
}

impl Common {
    fn read(declared: &DynamicMessage) -> Compiled<Self> {
        let mut options = Options::of(declared);
        let required = options.flag("required");
        let ignore_zero = match options.take("ignore").and_then(|value| value.as_enum_number()) {
            None | Some(0) => false,
            Some(IGNORE_IF_ZERO_VALUE) => true,
            Some(_) => return Err("FieldRules.ignore: only IGNORE_IF_ZERO_VALUE is understood".to_owned()),
        };
        let rules = options.rule_set();
        options.end()?;
        Ok(Common { required, ignore_zero, rules })
    }

    /// Rules of an item, a key or a value, which is always there.
    fn of_item(declared: &DynamicMessage) -> Compiled<Option<(String, DynamicMessage)>> {
        let common = Common::read(declared)?;
        match common.required || common.ignore_zero {
            true => Err("required and ignore are not checked on items".to_owned()),
            false => Ok(common.rules),
        }
    }
}

fn list(
    field: &FieldDescriptor,
    rules: Option<&(String, DynamicMessage)>,
) -> Compiled<(Cardinality, ValueRules)> {
    let Some((name, declared)) = rules else {
        return Ok((Cardinality::Many { items: Range::default(), unique: false }, ValueRules::None));
    };
    expect_set(name, "repeated")?;
    let mut options = Options::of(declared);
    let items = range(&mut options, "min_items", "max_items");
    let unique = options.flag("unique");
    let item = options.message("items").map(|item| Common::of_item(&item)).transpose()?.flatten();
    options.end()?;
    if unique && matches!(field.kind(), Declared::Message(_)) {
        return Err("repeated.unique is not checked on messages".to_owned());
    }
    Ok((Cardinality::Many { items, unique }, value_rules(&field.kind(), item.as_ref())?))
}

fn map(
    field: &FieldDescriptor,
    rules: Option<&(String, DynamicMessage)>,
) -> Compiled<(Cardinality, ValueRules)> {
    let entry = field.kind();
    let entry = entry.as_message().ok_or("a map without entries")?;
    let key = entry.map_entry_key_field().kind();
    let mut pairs = Range::default();
    let (mut keys, mut values) = (None, None);
    if let Some((name, declared)) = rules {
        expect_set(name, "map")?;
        let mut options = Options::of(declared);
        pairs = range(&mut options, "min_pairs", "max_pairs");
        keys = options.message("keys").map(|rules| Common::of_item(&rules)).transpose()?.flatten();
        values = options.message("values").map(|rules| Common::of_item(&rules)).transpose()?.flatten();
        options.end()?;
    }
    let keys = Box::new(value_rules(&key, keys.as_ref())?);
    let cardinality = Cardinality::Map { pairs, key: key_kind(&key)?, keys };
    Ok((cardinality, value_rules(&value_kind(field), values.as_ref())?))
}

fn key_kind(key: &Declared) -> Compiled<Kind> {
    match key {
        Declared::Int32 => Ok(Kind::Int32),
        Declared::Int64 => Ok(Kind::Int64),
        Declared::Uint32 => Ok(Kind::Uint32),
        Declared::Uint64 => Ok(Kind::Uint64),
        Declared::Sint32 => Ok(Kind::Sint32),
        Declared::Sint64 => Ok(Kind::Sint64),
        Declared::Fixed32 => Ok(Kind::Fixed32),
        Declared::Fixed64 => Ok(Kind::Fixed64),
        Declared::Sfixed32 => Ok(Kind::Sfixed32),
        Declared::Sfixed64 => Ok(Kind::Sfixed64),
        Declared::Bool => Ok(Kind::Bool),
        Declared::String => Ok(Kind::String),
        Declared::Double | Declared::Float | Declared::Bytes | Declared::Message(_) | Declared::Enum(_) => {
            Err("a map's key of a type that cannot be one".to_owned())
        }
    }
}

fn value_rules(kind: &Declared, rules: Option<&(String, DynamicMessage)>) -> Compiled<ValueRules> {
    let Some((name, declared)) = rules else { return Ok(ValueRules::None) };
    expect_set(name, rule_set_of(kind)?)?;
    let mut options = Options::of(declared);
    let rules = match kind {
        Declared::String => ValueRules::String(string(&mut options)?),
        Declared::Bytes => {
            ValueRules::Bytes(BytesRules { length: lengths(&mut options, "len", "min_len", "max_len") })
        }
        Declared::Bool => {
            options.take("const").and_then(|value| value.as_bool()).map_or(ValueRules::None, ValueRules::Bool)
        }
        Declared::Enum(values) => ValueRules::Enum(enumeration(&mut options, values)),
        Declared::Message(_) => ValueRules::Instant(ints(&mut options)?),
        Declared::Float | Declared::Double => ValueRules::Float(floats(&mut options)?),
        Declared::Int32 | Declared::Int64 | Declared::Uint32 | Declared::Uint64 => {
            ValueRules::Int(ints(&mut options)?)
        }
        Declared::Sint32 | Declared::Sint64 | Declared::Fixed32 => ValueRules::Int(ints(&mut options)?),
        Declared::Fixed64 | Declared::Sfixed32 | Declared::Sfixed64 => ValueRules::Int(ints(&mut options)?),
    };
    options.end()?;
    Ok(rules)
}

fn rule_set_of(kind: &Declared) -> Compiled<&'static str> {
    Ok(match kind {
        Declared::Double => "double",
        Declared::Float => "float",
        Declared::Int32 => "int32",
        Declared::Int64 => "int64",
        Declared::Uint32 => "uint32",
        Declared::Uint64 => "uint64",
        Declared::Sint32 => "sint32",
        Declared::Sint64 => "sint64",
        Declared::Fixed32 => "fixed32",
        Declared::Fixed64 => "fixed64",
        Declared::Sfixed32 => "sfixed32",
        Declared::Sfixed64 => "sfixed64",
        Declared::Bool => "bool",
        Declared::String => "string",
        Declared::Bytes => "bytes",
        Declared::Enum(_) => "enum",
        Declared::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "timestamp",
            "google.protobuf.Duration" => "duration",
            _ => return Err("a message takes no rules but required; its fields have their own".to_owned()),
        },
    })
}

fn expect_set(found: &str, expected: &str) -> Compiled<()> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found} rules do not fit; this field takes {expected} rules"))
    }
}

fn string(options: &mut Options) -> Compiled<StringRules> {
    let pattern = options.text("pattern").map(|pattern| Regex::new(&pattern)).transpose();
    Ok(StringRules {
        characters: lengths(options, "len", "min_len", "max_len"),
        bytes: lengths(options, "len_bytes", "min_bytes", "max_bytes"),
        pattern: pattern.map_err(|error| format!("string.pattern: {error}"))?,
        prefix: options.text("prefix"),
        suffix: options.text("suffix"),
        contains: options.text("contains"),
        not_contains: options.text("not_contains"),
        equal: options.text("const"),
        within: texts(options.list("in")),
        not_in: texts(options.list("not_in")),
        uuid: options.flag("uuid"),
    })
}

fn texts(values: Vec<Value>) -> Vec<String> {
    values.iter().filter_map(|value| value.as_str()).map(str::to_owned).collect()
}

fn range(options: &mut Options, min: &str, max: &str) -> Range {
    Range { min: options.size(min).unwrap_or(0), max: options.size(max).unwrap_or(u64::MAX) }
}

fn lengths(options: &mut Options, exact: &str, min: &str, max: &str) -> Range {
    let bounds = range(options, min, max);
    options.size(exact).map_or(bounds, |exact| Range { min: exact, max: exact })
}

fn enumeration(options: &mut Options, values: &EnumDescriptor) -> EnumRules {
    let defined = options.flag("defined_only").then(|| values.values().map(|value| value.number()).collect());
    let only = IntRules {
        equal: options.take("const").as_ref().and_then(int),
        within: options.list("in").iter().filter_map(int).collect(),
        not_in: options.list("not_in").iter().filter_map(int).collect(),
        ..IntRules::default()
    };
    EnumRules { defined, only }
}

fn ints(options: &mut Options) -> Compiled<IntRules> {
    let mut one = |name: &str| options.take(name).as_ref().and_then(int);
    let mut rules = IntRules {
        gt: one("gt"),
        gte: one("gte"),
        lt: one("lt"),
        lte: one("lte"),
        equal: one("const"),
        ..IntRules::default()
    };
    rules.within = options.list("in").iter().filter_map(int).collect();
    rules.not_in = options.list("not_in").iter().filter_map(int).collect();
    let (low, high) = (rules.gt.or(rules.gte), rules.lt.or(rules.lte));
    if low.zip(high).is_some_and(|(low, high)| high < low) {
        return Err(
            "a range whose end is before its start (outside-of) is not checked by this house".to_owned()
        );
    }
    Ok(rules)
}

fn floats(options: &mut Options) -> Compiled<FloatRules> {
    let finite = options.flag("finite");
    let mut one = |name: &str| options.take(name).as_ref().and_then(float);
    let mut rules = FloatRules { finite, ..FloatRules::default() };
    rules.bounds.gt = one("gt");
    rules.bounds.gte = one("gte");
    rules.bounds.lt = one("lt");
    rules.bounds.lte = one("lte");
    rules.bounds.equal = one("const");
    rules.bounds.within = options.list("in").iter().filter_map(float).collect();
    rules.bounds.not_in = options.list("not_in").iter().filter_map(float).collect();
    let (low, high) = (rules.bounds.gt.or(rules.bounds.gte), rules.bounds.lt.or(rules.bounds.lte));
    if low.zip(high).is_some_and(|(low, high)| high < low) {
        return Err(
            "a range whose end is before its start (outside-of) is not checked by this house".to_owned()
        );
    }
    Ok(rules)
}
