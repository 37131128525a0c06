//! Random messages of random contracts, both ways.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use stampede_transcode::{ErrorKind, RequestOptions, ResponseOptions, Schema, TranscodeError};

use super::descriptors;
use super::dice::Dice;
use super::judge::{as_json, as_text, oracle_reads, tame};

fn json(
    schema: &Schema,
    descriptor: &MessageDescriptor,
    wire: &[u8],
    emit_defaults: bool,
) -> Result<serde_json::Value, TranscodeError> {
    let id = schema.message(descriptor.full_name()).unwrap();
    let mut out = Vec::new();
    schema.to_json(id, wire, &ResponseOptions { emit_defaults }, &mut out)?;
    let text = std::str::from_utf8(&out).unwrap();
    let choice = schema.pool().get_enum_by_name("random.v1.Choice").unwrap();
    for alias in choice.values() {
        let first = choice.values().find(|value| value.number() == alias.number()).unwrap();
        let written = text.contains(&format!("{:?}", alias.name()));
        assert!(
            !written || first.name() == alias.name(),
            "{} is written, {} is first",
            alias.name(),
            first.name()
        );
    }
    Ok(numbered(schema, serde_json::from_str(text).unwrap()))
}

/// The names of the random enum as numbers: which alias the oracle writes is not settled.
fn numbered(schema: &Schema, value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    let choice = schema.pool().get_enum_by_name("random.v1.Choice").unwrap();
    match value {
        Json::String(text) => match choice.get_value_by_name(&text) {
            Some(known) => Json::from(known.number()),
            None => Json::String(text),
        },
        Json::Array(items) => items.into_iter().map(|item| numbered(schema, item)).collect(),
        Json::Object(members) => {
            members.into_iter().map(|(key, item)| (key, numbered(schema, item))).collect()
        }
        plain @ (Json::Null | Json::Bool(_) | Json::Number(_)) => plain,
    }
}

fn oracle(schema: &Schema, message: &DynamicMessage, defaults: bool) -> serde_json::Value {
    numbered(schema, as_json(message, defaults))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_contract_is_read_and_written_as_the_oracle_does(
        contract in vec(any::<u8>(), 0..300), seeds in vec(vec(any::<u8>(), 0..400), 1..4), pretty: bool,
    ) {
        let (pool, messages) = descriptors::pool(&mut Dice(&contract));
        let schema = Schema::build(&pool);
        for descriptor in messages {
            let random: Vec<DynamicMessage> =
                seeds.iter().map(|seed| Dice(seed).message(&descriptor, 0)).collect();
            for message in &random {
                let wire = message.encode_to_vec();
                for defaults in [true, false] {
                    prop_assert_eq!(json(&schema, &descriptor, &wire, defaults).unwrap(), oracle(&schema, message, defaults));
                }
                let text = as_text(message, false, pretty);
                let mut ours = Vec::new();
                let id = schema.message(descriptor.full_name()).unwrap();
                schema.to_wire(id, text.as_bytes(), &RequestOptions::default(), &mut ours).unwrap();
                let back = DynamicMessage::decode(descriptor.clone(), ours.as_slice()).unwrap();
                prop_assert_eq!(oracle(&schema, &back, false), oracle(&schema, message, false));
                let theirs = oracle_reads(&descriptor, &text).unwrap();
                prop_assert_eq!(tame(oracle(&schema, &back, true)), tame(oracle(&schema, &theirs, true)));
            }
            // One after the other: fields twice, and out of order.
            let merged: Vec<u8> = random.iter().flat_map(Message::encode_to_vec).collect();
            let whole = DynamicMessage::decode(descriptor.clone(), merged.as_slice()).unwrap();
            match json(&schema, &descriptor, &merged, true) {
                Ok(ours) => prop_assert_eq!(ours, oracle(&schema, &whole, true)),
                // Two durations may have merged into one of two signs.
                Err(error) => prop_assert_eq!(error.kind, ErrorKind::OutOfRange),
            }
        }
    }
}
