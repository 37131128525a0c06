//! The requests of the load: `DeductStockRequest`s, encoded once, with the buyer and the deduction's id patched into the bytes of
//! each. Ids are UUIDs of version 7, as callers make them. It never allocates a request.

use prost::Message as _;
use stampede_proto::inventory::v1::DeductStockRequest;
use uuid::Uuid;

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

/// The messages of one connection, one after the other, over one SKU or many.
#[derive(Debug)]
pub struct Messages {
    templates: Vec<Template>,
    buyers: u64,
    /// Every connection has its own numbers.
    next: u64,
    step: u64,
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
        let body = message.encode_to_vec();
        let length = u32::try_from(body.len()).expect("a message of a few names is short");
        // gRPC's prefix: not compressed, and the length of the message.
        let bytes = [&[0][..], &length.to_be_bytes(), &body].concat();
        let at = |text: &str| {
            let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
            found.expect("the message holds what was just put into it")
        };
        Template { buyer_at: at(&buyer), id_at: at(&id), bytes }
    }
}

impl Messages {
    /// Those of connection `connection` of `connections`; request n asks for `asks[n % asks.len()]`.
    pub fn new(asks: &[Ask], first: u64, connection: u64, connections: u64) -> Messages {
        Messages {
            templates: asks.iter().map(Template::of).collect(),
            buyers: asks.first().map_or(1, |ask| ask.buyers).max(1),
            next: first + connection,
            step: connections,
        }
    }

    /// Writes the next message. `now_ms` is the time its id carries.
    pub fn write(&mut self, now_ms: u64, out: &mut Vec<u8>) {
        let number = self.next;
        self.next += self.step;
        let hash = mix(number);
        let template = &self.templates[(number % self.templates.len() as u64) as usize];
        let start = out.len();
        out.extend_from_slice(&template.bytes);
        let message = &mut out[start..];
        // A permutation where the crowd is a prime, so that a buyer's requests are spread over the run.
        let mut buyer = (number % self.buyers).wrapping_mul(7_919) % self.buyers;
        for digit in message[template.buyer_at..template.buyer_at + BUYER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (buyer % 10) as u8;
            buyer /= 10;
        }
        let id = id(now_ms, number, hash);
        let text = &mut message[template.id_at..template.id_at + ID_BYTES];
        id.hyphenated().encode_lower(text);
    }

    /// The length of the next message.
    pub fn next_len(&self) -> usize {
        self.templates[(self.next % self.templates.len() as u64) as usize].bytes.len()
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
        for connection in 0..2 {
            let mut messages = Messages::new(&[ask("tee")], 0, connection, 2);
            for _ in 0..50 {
                let mut bytes = Vec::new();
                let length = messages.next_len();
                messages.write(1_700_000_000_000, &mut bytes);
                assert_eq!(bytes.len(), length);
                let message = read(&bytes);
                assert_eq!((message.sku_id.as_str(), message.campaign_id.as_str()), ("tee", "flash"));
                assert_eq!(message.quantity, 1);
                let id: Uuid = message.deduction_id.parse().unwrap();
                assert_eq!(id.get_version_num(), 7);
                ids.insert(id);
                buyers.insert(message.buyer_id);
            }
        }
        assert_eq!((ids.len(), buyers.len()), (100, 100));
        assert!(buyers.contains("b-000000042"));
    }

    #[test]
    fn many_skus_are_asked_for_in_turn() {
        let mut messages = Messages::new(&[ask("a"), ask("bb"), ask("c")], 1, 0, 1);
        let skus: Vec<String> = (0..3)
            .map(|_| {
                let mut bytes = Vec::new();
                messages.write(1, &mut bytes);
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
