//! Reads the options of one rule set by name, and remembers which were read: what is left over is not understood.

use prost_reflect::{DynamicMessage, ExtensionDescriptor, ReflectMessage, Value};

/// The set fields of a rules message, taken out one by one.
pub(super) struct Options {
    kind: String,
    left: Vec<(String, Value)>,
}

/// The value of an extension, when it is set.
pub(super) fn options_of(
    options: &DynamicMessage,
    extension: &ExtensionDescriptor,
) -> Option<DynamicMessage> {
    options.has_extension(extension).then(|| options.get_extension(extension).as_message().cloned()).flatten()
}

pub(super) fn only_required(declared: &DynamicMessage) -> Result<bool, String> {
    let mut options = Options::of(declared);
    let required = options.flag("required");
    options.end()?;
    Ok(required)
}

impl Options {
    pub(super) fn of(message: &DynamicMessage) -> Self {
        let left = message.fields().map(|(field, value)| (field.name().to_owned(), value.clone()));
        let unknown =
            message.unknown_fields().map(|field| (format!("number {}", field.number()), Value::Bool(true)));
        let extensions =
            message.extensions().map(|(field, value)| (field.full_name().to_owned(), value.clone()));
        let kind = message.descriptor().name().to_owned();
        Options { kind, left: left.chain(unknown).chain(extensions).collect() }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.left.iter().position(|(left, _)| left == name)?;
        Some(self.left.swap_remove(at).1)
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.take(name).and_then(|value| value.as_bool()).unwrap_or_default()
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).and_then(|value| value.as_str().map(str::to_owned))
    }

    pub(super) fn size(&mut self, name: &str) -> Option<u64> {
        self.take(name).and_then(|value| value.as_u64())
    }

    pub(super) fn message(&mut self, name: &str) -> Option<DynamicMessage> {
        self.take(name).and_then(|value| value.as_message().cloned())
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        self.take(name).and_then(|value| value.as_list().map(<[Value]>::to_vec)).unwrap_or_default()
    }

    /// The one rule set of a `FieldRules`, such as `string`.
    pub(super) fn rule_set(&mut self) -> Option<(String, DynamicMessage)> {
        let at = self.left.iter().position(|(_, value)| value.as_message().is_some())?;
        let (name, value) = self.left.swap_remove(at);
        value.as_message().cloned().map(|message| (name, message))
    }

    /// Everything declared has been read, or the contract asks for what nobody checks.
    pub(super) fn end(self) -> Result<(), String> {
        if self.left.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.left.iter().map(|(name, _)| name.as_str()).collect();
        Err(format!("{}.{} is not checked by this house", self.kind, names.join(", ")))
    }
}

/// Any integer, or a duration or timestamp in nanoseconds.
pub(super) fn int(value: &Value) -> Option<i128> {
    match value {
        Value::I32(value) | Value::EnumNumber(value) => Some((*value).into()),
        Value::I64(value) => Some((*value).into()),
        Value::U32(value) => Some((*value).into()),
        Value::U64(value) => Some((*value).into()),
        Value::Message(message) => {
            let part = |name| message.get_field_by_name(name).as_deref().and_then(int);
            Some(part("seconds")? * 1_000_000_000 + part("nanos")?)
        }
        Value::Bool(_) | Value::F32(_) | Value::F64(_) | Value::String(_) => None,
        Value::Bytes(_) | Value::List(_) | Value::Map(_) => None,
    }
}

pub(super) fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_f32().map(f64::from))
}
