//! What a basket costs, what its promotions take off, and what goes back for what is sent back: the shop's price list by the
//! model's own arithmetic.

use std::collections::BTreeMap;

use crate::harness::history::record::{Cell, Units};
use crate::harness::orders::record::without;

/// What somebody wants to buy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basket {
    pub units: Units,
    pub coupons: Vec<&'static str>,
}

/// What a promotion takes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Of all lines together, in hundredths, rounded down.
    Percent(i64),
    Off(i64),
    /// Of three units of the SKU one is free.
    Third(&'static str),
}

/// A promotion of every stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promotion {
    pub id: &'static str,
    /// None applies by itself.
    pub coupon: Option<&'static str>,
    pub gives: Gives,
    pub use_limit: Option<i64>,
    pub per_buyer_limit: Option<u32>,
    /// Minor units.
    pub budget: Option<i64>,
}

impl Promotion {
    pub fn is_limited(&self) -> bool {
        self.use_limit.is_some() || self.per_buyer_limit.is_some() || self.budget.is_some()
    }
}

const NO_LIMIT: Promotion = Promotion {
    id: "third-free",
    coupon: None,
    gives: Gives::Third("mug"),
    use_limit: None,
    per_buyer_limit: None,
    budget: None,
};

/// The limits are far below what is asked for, so that uses are fought over.
pub const PROMOTIONS: [Promotion; 4] = [
    NO_LIMIT,
    Promotion {
        id: "tenth",
        coupon: Some("TENTH"),
        gives: Gives::Percent(10),
        use_limit: Some(12),
        ..NO_LIMIT
    },
    Promotion {
        id: "hello",
        coupon: Some("HELLO"),
        gives: Gives::Off(300),
        per_buyer_limit: Some(1),
        ..NO_LIMIT
    },
    Promotion { id: "purse", coupon: Some("PURSE"), gives: Gives::Off(500), budget: Some(4_000), ..NO_LIMIT },
];

/// Minor units of one unit.
pub fn unit_price(cell: &Cell) -> i64 {
    match (cell.sku.as_str(), cell.campaign.as_str()) {
        ("tee", "") => 1_999,
        ("tee", _) => 1_499,
        ("mug", _) => 999,
        (_, _) => 2_499,
    }
}

/// What these promotions take off these units, by id; what they cost together stays above zero.
pub fn discounts<'a>(units: &Units, ids: impl Iterator<Item = &'a String>) -> BTreeMap<String, i64> {
    let worth: i64 = units.iter().map(|(cell, units)| unit_price(cell) * units).sum();
    let off = |gives: Gives| match gives {
        Gives::Percent(hundredths) => worth * hundredths / 100,
        Gives::Off(minor) => minor.min(worth),
        Gives::Third(sku) => {
            let is_meant = |cell: &Cell| cell.sku == sku && cell.campaign.is_empty();
            let meant = units.iter().find(|(cell, _)| is_meant(cell));
            meant.map_or(0, |(cell, units)| units / 3 * unit_price(cell))
        }
    };
    let known = |id: &String| PROMOTIONS.iter().find(|known| known.id == id.as_str());
    ids.filter_map(|id| known(id).map(|known| (id.clone(), off(known.gives)))).collect()
}

/// What these units cost with these promotions.
pub fn total<'a>(units: &Units, ids: impl Iterator<Item = &'a String>) -> i64 {
    let worth: i64 = units.iter().map(|(cell, units)| unit_price(cell) * units).sum();
    worth - discounts(units, ids).values().sum::<i64>()
}

/// What goes back for `coming` of an order of these units, of which `gone` came back before, for `refunded` already: paid less
/// what is kept is worth, never below nothing.
pub fn refund<'a>(
    bought: &Units,
    ids: impl Iterator<Item = &'a String> + Clone,
    gone: &Units,
    refunded: i64,
) -> i64 {
    let kept = without(bought, gone);
    (total(bought, ids.clone()) - refunded - total(&kept, ids)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::orders::record::cell;

    fn mugs(units: i64) -> Units {
        Units::from([(cell("mug", ""), units)])
    }

    #[test]
    fn a_third_of_the_mugs_is_free_and_sending_one_back_gives_nothing_back() {
        let third = ["third-free".to_owned()];
        assert_eq!(total(&mugs(3), third.iter()), 2 * 999);
        assert_eq!(refund(&mugs(3), third.iter(), &mugs(1), 0), 0);
        assert_eq!(refund(&mugs(3), third.iter(), &mugs(2), 0), 999);
        assert_eq!(refund(&mugs(3), third.iter(), &mugs(3), 999), 999);
    }
}
