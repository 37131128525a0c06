//! Who asks for what: purchase number n of a drill is the same in every run but for its id. Pure.

use uuid::Uuid;

use super::plan::{MOST_UNITS, Plan, SCARCE_PERCENT};
use super::sale::{PLENTY, SCARCE};
use super::told::{Fate, Intent, Line, Purchase};

/// Of a hundred purchases; the rest deducts.
const BUY_PERCENT: u64 = 25;
const GIVE_BACK_PERCENT: u64 = 10;
const FORGET_PERCENT: u64 = 5;
/// Of a hundred holds, so many ask for both SKUs: all or none.
const BOTH_PERCENT: u64 = 20;

/// What a buyer of the load wants.
pub fn nth(plan: &Plan, number: u64) -> Purchase {
    let of_hundred = |question: u64| mix(number, question) % 100;
    let intent = match of_hundred(1) {
        n if n < BUY_PERCENT => Intent::Buy,
        n if n < BUY_PERCENT + GIVE_BACK_PERCENT => Intent::GiveBack,
        n if n < BUY_PERCENT + GIVE_BACK_PERCENT + FORGET_PERCENT => Intent::Forget,
        _ => Intent::Deduct,
    };
    // Half of all ask for one unit, the others for any number.
    let units = |question: u64| match of_hundred(question) {
        n if n < 50 => 1,
        n => 1 + i64::try_from(n).unwrap_or(0) % MOST_UNITS,
    };
    let sku = if of_hundred(2) < SCARCE_PERCENT { SCARCE } else { PLENTY };
    let mut lines = vec![Line { sku, units: units(3) }];
    if intent != Intent::Deduct && of_hundred(4) < BOTH_PERCENT {
        lines = vec![Line { sku: PLENTY, units: units(3) }, Line { sku: SCARCE, units: units(5) }];
    }
    let buyer = format!("buyer-{}", mix(number, 6) % plan.buyers());
    purchase(buyer, lines, intent)
}

/// One who comes for the first time and wants so many units now: of the closing sale, or to see whether the shop sells.
pub fn newcomer(sku: usize, units: i64) -> Purchase {
    purchase(format!("newcomer-{}", Uuid::now_v7()), vec![Line { sku, units }], Intent::Deduct)
}

fn purchase(buyer: String, lines: Vec<Line>, intent: Intent) -> Purchase {
    let (id, fate) = (Uuid::now_v7(), Fate::Unknown);
    Purchase { id, buyer, lines, intent, taken: false, fate, receipt: None, trail: Vec::new() }
}

/// A number that looks drawn and is not: splitmix64 (Steele, Lea, Flood 2014) of the purchase and the question.
pub fn mix(number: u64, question: u64) -> u64 {
    let mut z = number.wrapping_mul(31).wrapping_add(question).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_intent_and_both_skus_are_among_a_few_hundred_purchases() {
        let plan = Plan::short(Path::new("/nowhere"));
        let all: Vec<Purchase> = (0..plan.purchases()).map(|number| nth(&plan, number)).collect();
        for intent in [Intent::Deduct, Intent::Buy, Intent::GiveBack, Intent::Forget] {
            assert!(all.iter().filter(|p| p.intent == intent).count() > 10, "{intent:?}");
        }
        let asked = |sku: usize| -> i64 {
            all.iter().flat_map(|p| &p.lines).filter(|line| line.sku == sku).map(|line| line.units).sum()
        };
        assert!(asked(PLENTY) < plan.plenty_units(), "the plentiful SKU must outlast the load");
        assert!(asked(SCARCE) > plan.scarce_units(), "the scarce SKU must run out under load");
        assert!(all.iter().any(|p| p.lines.len() == 2));
    }

    #[test]
    fn only_the_id_differs_from_run_to_run() {
        let plan = Plan::short(Path::new("/nowhere"));
        let (one, other) = (nth(&plan, 7), nth(&plan, 7));
        assert_ne!(one.id, other.id);
        assert_eq!(Purchase { id: other.id, ..one }, other);
    }
}
