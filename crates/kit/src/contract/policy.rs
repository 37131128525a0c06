//! Reads `stampede.policy.v1.access` and `.calling` of one method. Whatever is missing or not understood is a problem of the
//! contract: a method without access would otherwise be open or shut by accident.

use std::time::Duration;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage};

use super::{Access, Calling, Idempotency, Permissions, RateClass};

const ACCESS: &str = "stampede.policy.v1.access";
const CALLING: &str = "stampede.policy.v1.calling";

pub(super) fn read(
    pool: &DescriptorPool,
    method: &MethodDescriptor,
    permissions: &Permissions,
    problems: &mut Vec<String>,
) -> Option<(Access, Calling)> {
    let name = method.full_name();
    let access = option(pool, method, ACCESS).ok_or_else(|| format!("{name}: declares no {ACCESS}"));
    let calling = option(pool, method, CALLING).ok_or_else(|| format!("{name}: declares no {CALLING}"));
    let access = access.and_then(|declared| read_access(name, &declared, permissions));
    let calling = calling.and_then(|declared| read_calling(name, &declared));
    match (access, calling) {
        (Ok(access), Ok(calling)) => Some((access, calling)),
        (access, calling) => {
            problems.extend(access.err());
            problems.extend(calling.err());
            None
        }
    }
}

fn option(pool: &DescriptorPool, method: &MethodDescriptor, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name)?;
    let options = method.options();
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).as_message().cloned())
        .flatten()
}

fn read_access(method: &str, declared: &DynamicMessage, permissions: &Permissions) -> Result<Access, String> {
    let permission = enum_name(declared, "permission");
    let permission_bit =
        permissions.bit(&permission).ok_or_else(|| format!("{method}: access names no known permission"))?;
    let access = Access {
        permission,
        permission_bit,
        peers: strings(declared, "peers"),
        trusted_peers: strings(declared, "trusted_peers"),
    };
    if access.peers.is_empty() && access.trusted_peers.is_empty() {
        return Err(format!("{method}: access names no peer, so nobody could call it"));
    }
    Ok(access)
}

fn read_calling(method: &str, declared: &DynamicMessage) -> Result<Calling, String> {
    let deadline = duration(declared, "deadline")
        .filter(|deadline| !deadline.is_zero())
        .ok_or_else(|| format!("{method}: calling has no positive deadline"))?;
    let idempotency = match enum_name(declared, "idempotency").as_str() {
        "IDEMPOTENCY_READ" => Idempotency::Read,
        "IDEMPOTENCY_BY_ID" => Idempotency::ById,
        "IDEMPOTENCY_BY_KEY" => Idempotency::ByKey,
        "IDEMPOTENCY_NONE" => Idempotency::None,
        other => return Err(format!("{method}: calling.idempotency {other} is not understood")),
    };
    let rate_class = match enum_name(declared, "rate_class").as_str() {
        "RATE_CLASS_READ" => RateClass::Read,
        "RATE_CLASS_WRITE" => RateClass::Write,
        "RATE_CLASS_CHECKOUT" => RateClass::Checkout,
        "RATE_CLASS_STREAM" => RateClass::Stream,
        "RATE_CLASS_ADMIN" => RateClass::Admin,
        other => return Err(format!("{method}: calling.rate_class {other} is not understood")),
    };
    Ok(Calling {
        deadline,
        idempotency,
        retry_safe: boolean(declared, "retry_safe"),
        rate_class,
        planned: boolean(declared, "planned"),
        checks_itself: boolean(declared, "checks_itself"),
    })
}

fn strings(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field);
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str()).map(str::to_owned).collect()
}

fn boolean(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).and_then(|value| value.as_bool()).unwrap_or_default()
}

/// The name of an enum value; its number in words when the descriptors do not name it.
fn enum_name(message: &DynamicMessage, field: &str) -> String {
    let number =
        message.get_field_by_name(field).and_then(|value| value.as_enum_number()).unwrap_or_default();
    let descriptor = message.descriptor().get_field_by_name(field).map(|field| field.kind());
    let named =
        descriptor.as_ref().and_then(|kind| kind.as_enum()).and_then(|values| values.get_value(number));
    named.map_or_else(|| number.to_string(), |value| value.name().to_owned())
}

fn duration(message: &DynamicMessage, field: &str) -> Option<Duration> {
    if !message.has_field_by_name(field) {
        return None;
    }
    let value = message.get_field_by_name(field)?;
    let value = value.as_message()?;
    let seconds = value.get_field_by_name("seconds")?.as_i64()?;
    let nanos = value.get_field_by_name("nanos")?.as_i32()?;
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?))
}
