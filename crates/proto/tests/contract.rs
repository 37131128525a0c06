//! The contract says it all: every RPC declares its route, who may call it, how it is called, and rules for the fields of
//! its request. What is missing is named.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "in a test a surprise is a failure")]

use std::collections::BTreeSet;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(stampede_proto::DESCRIPTOR_SET).unwrap()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn option(options: &DynamicMessage, pool: &DescriptorPool, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(name).unwrap_or_else(|| panic!("no extension {name}"));
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().unwrap().clone())
}

/// The value of a field as text, empty when it is not set.
fn text(message: &DynamicMessage, field: &str) -> String {
    match message.get_field_by_name(field).unwrap().as_ref() {
        Value::EnumNumber(0) => String::new(),
        Value::List(list) if list.is_empty() => String::new(),
        other => format!("{other}"),
    }
}

fn set(message: &DynamicMessage, field: &str) -> bool {
    message.has_field_by_name(field) && !text(message, field).is_empty()
}

#[test]
fn every_rpc_declares_route_access_and_calling() {
    let pool = pool();
    let mut missing = Vec::new();
    for method in methods(&pool) {
        let options = method.options();
        let mut demand = |extension: &str, fields: &[&str]| match option(&options, &pool, extension) {
            None => missing.push(format!("{} has no {extension}", method.full_name())),
            Some(declared) => missing.extend(
                fields
                    .iter()
                    .filter(|field| !set(&declared, field))
                    .map(|field| format!("{} has no {extension}.{field}", method.full_name())),
            ),
        };
        demand("google.api.http", &[]);
        demand("stampede.policy.v1.access", &["permission", "peers"]);
        demand("stampede.policy.v1.calling", &["deadline", "idempotency", "rate_class"]);
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_field_a_caller_fills_has_a_rule() {
    let pool = pool();
    let rules = pool.get_extension_by_name("buf.validate.field").unwrap();
    let mut bare = BTreeSet::new();
    for method in methods(&pool) {
        for field in fields_below(&method.input(), &mut BTreeSet::new()) {
            let free = matches!(field.kind(), Kind::Bool | Kind::Message(_)) && !field.is_list();
            if !free && !field.options().has_extension(&rules) {
                bare.insert(field.full_name().to_owned());
            }
        }
    }
    assert!(bare.is_empty(), "fields without buf.validate rules: {bare:#?}");
}

fn fields_below(message: &MessageDescriptor, seen: &mut BTreeSet<String>) -> Vec<FieldDescriptor> {
    if message.full_name().starts_with("google.") || !seen.insert(message.full_name().to_owned()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for field in message.fields() {
        if let Kind::Message(inner) = field.kind() {
            found.extend(fields_below(&inner, seen));
        }
        found.push(field);
    }
    found
}

#[test]
fn only_reads_are_get_and_only_commands_have_effects() {
    let pool = pool();
    for method in methods(&pool) {
        let http = option(&method.options(), &pool, "google.api.http").unwrap();
        let calling = option(&method.options(), &pool, "stampede.policy.v1.calling").unwrap();
        let reads =
            matches!(calling.get_field_by_name("idempotency").unwrap().as_ref(), Value::EnumNumber(1));
        let is_get = http.has_field_by_name("get");
        assert!(!is_get || reads, "{} is a GET with an effect", method.full_name());
    }
}

#[test]
fn every_permission_is_granted_by_a_role() {
    let pool = pool();
    let grants = pool.get_extension_by_name("stampede.policy.v1.grants").unwrap();
    let mut granted = BTreeSet::new();
    for role in pool.get_enum_by_name("stampede.policy.v1.Role").unwrap().values().filter(|v| v.number() != 0)
    {
        let options = role.options();
        assert!(options.has_extension(&grants), "{} grants nothing", role.full_name());
        let declared = options.get_extension(&grants);
        let permissions =
            declared.as_message().unwrap().get_field_by_name("permissions").unwrap().into_owned();
        granted.extend(permissions.as_list().unwrap().iter().map(|p| p.as_enum_number().unwrap()));
    }
    for permission in pool.get_enum_by_name("stampede.policy.v1.Permission").unwrap().values() {
        let number = permission.number();
        assert!(number == 0 || granted.contains(&number), "nobody may {}", permission.name());
    }
}

#[test]
fn the_architecture_lists_every_planned_rpc_and_no_other() {
    let pool = pool();
    let architecture = include_str!("../../../ARCHITECTURE.md");
    let listed: BTreeSet<String> = architecture
        .split("## Planned RPCs")
        .nth(1)
        .expect("ARCHITECTURE.md has a section of planned RPCs")
        .split('`')
        .filter(|word| word.contains("Service."))
        .map(str::to_owned)
        .collect();
    let planned: BTreeSet<String> = methods(&pool)
        .iter()
        .filter(|method| {
            let calling = option(&method.options(), &pool, "stampede.policy.v1.calling").unwrap();
            calling.get_field_by_name("planned").unwrap().as_bool() == Some(true)
        })
        .map(|method| format!("{}.{}", method.parent_service().name(), method.name()))
        .collect();
    assert_eq!(listed, planned);
}
