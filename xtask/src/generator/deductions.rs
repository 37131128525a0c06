//! The requests of the load: `DeductStockRequest`s, encoded once, with the buyer and the deduction's id patched into the bytes of
//! each. Ids are UUIDs of version 7, as callers make them. It never allocates a request.

use std::sync::Arc;

use prost::Message as _;
use stampede_proto::inventory::v1::DeductStockRequest;
use uuid::Uuid;

use super::frames::{self, Blocks};
use super::grpc::Calls;

/// The service whose certificate the server must show.
pub const SERVICE: &str = "inventory";
const PATH: &str = "/stampede.inventory.v1.InventoryService/DeductStock";
const BUYER_DIGITS: usize = 9;
const ID_BYTES: usize = 36;

/// What is asked for: one unit of a SKU, by one of so many buyers.
#[derive(Debug, Clone)]
pub struct Ask {
    pub sku: String,
    /// Empty for the shelf.
    pub campaign: String,
    /// Tells this crowd's buyers from another's.
    pub crowd: String,
    pub buyers: u64,
}

/// A gRPC frame with the message of one SKU.
#[derive(Debug, Clone)]
struct Template {
    bytes: Vec<u8>,
    buyer_at: usize,
    id_at: usize,
}

/// The requests of one connection, over one SKU or many.
#[derive(Debug, Clone)]
pub struct Deductions {
    templates: Vec<Template>,
    buyers: u64,
    blocks: Arc<Blocks>,
}

impl Template {
    fn of(ask: &Ask) -> Template {
        let (buyer, id) = ("#".repeat(BUYER_DIGITS), "~".repeat(ID_BYTES));
        let message = DeductStockRequest {
            sku_id: ask.sku.clone(),
            campaign_id: ask.campaign.clone(),
            buyer_id: format!("{}{buyer}", ask.crowd),
            quantity: 1,
            deduction_id: id.clone(),
        };
        let bytes = frames::message(&message.encode_to_vec());
        let at = |text: &str| {
            let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
            found.expect("the message holds what was just put into it")
        };
        Template { buyer_at: at(&buyer), id_at: at(&id), bytes }
    }
}

impl Deductions {
    /// Request n asks for `asks[n % asks.len()]`.
    pub fn new(asks: &[Ask]) -> Deductions {
        Deductions::of_path(asks, PATH)
    }

    /// The same asked of another method.
    pub(super) fn of_path(asks: &[Ask], path: &str) -> Deductions {
        Deductions {
            templates: asks.iter().map(Template::of).collect(),
            buyers: asks.first().map_or(1, |ask| ask.buyers).max(1),
            blocks: Arc::new(Blocks::of(path, SERVICE)),
        }
    }

    fn template(&self, number: u64) -> &Template {
        &self.templates[(number % self.templates.len() as u64) as usize]
    }
}

impl Calls for Deductions {
    fn block(&mut self, _: u64, first: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if first { &self.blocks.first } else { &self.blocks.later });
    }

    fn message_len(&self, number: u64) -> usize {
        self.template(number).bytes.len()
    }

    fn message(&mut self, number: u64, now_ms: u64, out: &mut Vec<u8>) {
        let template = self.template(number);
        let start = out.len();
        out.extend_from_slice(&template.bytes);
        let message = &mut out[start..];
        // A permutation where the crowd is a prime, so that a buyer's requests are spread over the run.
        let mut buyer = (number % self.buyers).wrapping_mul(7_919) % self.buyers;
        for digit in message[template.buyer_at..template.buyer_at + BUYER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (buyer % 10) as u8;
            buyer /= 10;
        }
        let id = id(now_ms, number, mix(number));
        let text = &mut message[template.id_at..template.id_at + ID_BYTES];
        id.hyphenated().encode_lower(text);
    }
}

/// Version 7: the time, and what makes it one of its kind. The number is in it whole, so no two are alike.
fn id(now_ms: u64, number: u64, hash: u64) -> Uuid {
    let head = u128::from(now_ms & 0xffff_ffff_ffff) << 80 | 0x7 << 76 | u128::from(hash & 0xfff) << 64;
    // 62 bits: a bijection of the number, so different for every number below 2^62.
    Uuid::from_u128(head | 0b10 << 62 | u128::from(spread(number)))
}

/// A bijection on 62 bits (an odd multiplier), with the high bits moved where they are seen.
fn spread(number: u64) -> u64 {
    const MASK: u64 = (1 << 62) - 1;
    let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & MASK;
    product ^ (product >> 31)
}

/// SplitMix64's finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn ask(sku: &str) -> Ask {
        Ask { sku: sku.into(), campaign: "flash".into(), crowd: "b-".into(), buyers: 100 }
    }

    fn read(bytes: &[u8]) -> DeductStockRequest {
        assert_eq!(bytes[0], 0);
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize, bytes.len() - 5);
        DeductStockRequest::decode(&bytes[5..]).unwrap()
    }

    #[test]
    fn messages_are_whole_and_differ_in_buyer_and_id() {
        let mut ids = HashSet::new();
        let mut buyers = HashSet::new();
        let mut deductions = Deductions::new(&[ask("tee")]);
        for number in 0..100 {
            let mut bytes = Vec::new();
            deductions.message(number, 1_700_000_000_000, &mut bytes);
            assert_eq!(bytes.len(), deductions.message_len(number));
            let message = read(&bytes);
            assert_eq!((message.sku_id.as_str(), message.campaign_id.as_str()), ("tee", "flash"));
            assert_eq!(message.quantity, 1);
            let id: Uuid = message.deduction_id.parse().unwrap();
            assert_eq!(id.get_version_num(), 7);
            ids.insert(id);
            buyers.insert(message.buyer_id);
        }
        assert_eq!((ids.len(), buyers.len()), (100, 100));
        assert!(buyers.contains("b-000000042"));
    }

    #[test]
    fn many_skus_are_asked_for_in_turn() {
        let mut deductions = Deductions::new(&[ask("a"), ask("bb"), ask("c")]);
        let skus: Vec<String> = (1..4)
            .map(|number| {
                let mut bytes = Vec::new();
                deductions.message(number, 1, &mut bytes);
                read(&bytes).sku_id
            })
            .collect();
        assert_eq!(skus, ["bb", "c", "a"]);
    }

    #[test]
    fn ids_of_one_millisecond_never_meet() {
        let ids: HashSet<Uuid> = (0..100_000).map(|n| id(1, n, mix(n))).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
