//! Random messages and random bytes, with prost-reflect as the judge of what they mean. `PROPTEST_CASES` sets how many.

mod descriptors;
mod dice;
mod differences;
pub mod judge;
mod random;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use stampede_transcode::ResponseOptions;

use dice::Dice;
use judge::{as_json, as_text, oracle_reads, taken_on_purpose, tame};

use crate::support::{POOL, ROUTER, decode, schema, to_json, to_wire};

const MESSAGES: [&str; 6] = [
    "test.rich.v1.Scalars",
    "test.rich.v1.Lists",
    "test.rich.v1.Maps",
    "test.rich.v1.Tree",
    "test.rich.v1.Known",
    "test.shop.v1.CreateOrderRequest",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wire_to_json_is_what_the_oracle_writes(seed in vec(any::<u8>(), 0..600), which in 0..MESSAGES.len(), defaults: bool) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let message = Dice(&seed).message(&descriptor, 0);
        let text = to_json(MESSAGES[which], &message.encode_to_vec(), defaults).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(ours, as_json(&message, defaults));
    }

    #[test]
    fn json_to_wire_is_what_the_oracle_reads(seed in vec(any::<u8>(), 0..600), which in 0..MESSAGES.len(), pretty: bool) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let message = Dice(&seed).message(&descriptor, 0);
        let text = as_text(&message, false, pretty);
        let wire = to_wire(MESSAGES[which], &text).unwrap();
        prop_assert_eq!(as_json(&decode(MESSAGES[which], &wire), false), as_json(&message, false));
        prop_assert!(oracle_reads(&descriptor, &text).is_ok());
    }

    #[test]
    fn shuffled_and_split_fields_mean_what_they_mean_to_the_oracle(seeds in vec(vec(any::<u8>(), 0..200), 1..4), which in 0..4usize) {
        // Encodings one after the other are a merge, and out of order.
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let wire: Vec<u8> = seeds.iter().flat_map(|seed| Dice(seed).message(&descriptor, 0).encode_to_vec()).collect();
        let text = to_json(MESSAGES[which], &wire, false).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(ours, as_json(&decode(MESSAGES[which], &wire), false));
    }

    #[test]
    fn damaged_json_is_refused_or_means_what_it_means_to_the_oracle(
        seed in vec(any::<u8>(), 0..200), which in 0..MESSAGES.len(), cut in any::<prop::sample::Index>(), byte in "[ -~]",
    ) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let mut text = as_text(&Dice(&seed).message(&descriptor, 0), true, false);
        let at = text.floor_char_boundary(cut.index(text.len()));
        prop_assert!(to_wire(MESSAGES[which], &text[..at]).is_err() || at == 0);
        text.replace_range(at..at + text[at..].chars().next().map_or(0, char::len_utf8), &byte);
        if let Ok(wire) = to_wire(MESSAGES[which], &text) {
            let ours = as_json(&decode(MESSAGES[which], &wire), false);
            match oracle_reads(&descriptor, &text) {
                Ok(message) => prop_assert_eq!(tame(ours), tame(as_json(&message, false))),
                Err(error) => prop_assert!(taken_on_purpose(&error), "the oracle refuses {}: {}", text, error),
            }
        }
    }

    #[test]
    fn garbage_never_panics(garbage in vec(any::<u8>(), 0..300), which in 0..MESSAGES.len(), defaults: bool) {
        let id = schema().message(MESSAGES[which]).unwrap();
        let mut out = Vec::new();
        let _ = schema().to_wire(id, &garbage, &Default::default(), &mut out);
        if schema().to_json(id, &garbage, &ResponseOptions { emit_defaults: defaults }, &mut out).is_ok() {
            let _: serde_json::Value = serde_json::from_slice(&out).unwrap();
        }
    }

    #[test]
    fn truncated_wire_never_panics(seed in vec(any::<u8>(), 0..300), which in 0..MESSAGES.len(), cut in any::<prop::sample::Index>()) {
        let descriptor = POOL.get_message_by_name(MESSAGES[which]).unwrap();
        let wire = Dice(&seed).message(&descriptor, 0).encode_to_vec();
        let at = cut.index(wire.len() + 1);
        let _ = to_json(MESSAGES[which], &wire[..at], true);
    }

    #[test]
    fn no_path_or_query_panics(path in "/(v1|v2|\\*)(/(orders|shelves|:|%2f|%|[a-z:]{0,4})){0,5}(:watch|:cancel|:)?", query in "([a-zA-Z.&=%+]{0,12}|view=[A-Z1]{0,3}|again\\.){0,6}") {
        for method in [http::Method::GET, http::Method::POST, http::Method::PATCH] {
            if let stampede_transcode::Found::Match(found) = ROUTER.find(&method, &path) {
                let _ = found.request(Some(&query), b"", &Default::default(), &mut Vec::new());
            }
        }
    }
}
