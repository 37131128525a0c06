//! A cart: a map from what is wanted to how many of it, with a version. It knows no prices: those are asked for when it is
//! quoted or bought.

use std::collections::BTreeMap;

use stampede_types::{BuyerId, Pool, Quantity, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::promotion::MAX_LINES;

/// The most items of one cart: the most lines of one order.
pub const MAX_ITEMS: usize = MAX_LINES;

/// Whose cart. A guest and a buyer of one name are two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub name: BuyerId,
    pub guest: bool,
}

/// One SKU of one pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub sku: SkuId,
    pub pool: Pool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cart {
    /// `None` for a cart nothing was ever put into.
    pub id: Option<Uuid>,
    pub items: BTreeMap<Item, u32>,
    /// 0 for a cart nothing was ever put into; grows by one with each change.
    pub version: i64,
    pub updated_at: Option<OffsetDateTime>,
}

/// A stored item that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no item of a cart")]
pub struct InvalidItem(pub String);

impl Item {
    /// As the store has it; neither part has a slash.
    #[must_use]
    pub fn word(&self) -> String {
        format!("{}/{}", self.sku, self.pool.campaign_id())
    }

    /// # Errors
    /// Not a word of ours.
    pub fn of_word(word: &str) -> Result<Item, InvalidItem> {
        let parsed = || {
            let (sku, campaign) = word.split_once('/')?;
            Some(Item { sku: sku.parse().ok()?, pool: Pool::from_campaign_id(campaign).ok()? })
        };
        parsed().ok_or_else(|| InvalidItem(word.to_owned()))
    }
}

/// The items of both, units of the same item together and never more than an order takes of it. When that is more items than a
/// cart has room for, the owner's own stay and those of the guest come in while there is room: signing in never fails for it.
#[must_use]
pub fn merged(own: &BTreeMap<Item, u32>, guest: &BTreeMap<Item, u32>) -> BTreeMap<Item, u32> {
    let mut both = own.clone();
    for (item, units) in guest {
        if let Some(there) = both.get_mut(item) {
            *there = there.saturating_add(*units).min(Quantity::MAX);
        } else if both.len() < MAX_ITEMS {
            both.insert(item.clone(), (*units).min(Quantity::MAX));
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(sku: &str) -> Item {
        Item { sku: sku.parse().unwrap(), pool: Pool::Shelf }
    }

    #[test]
    fn an_items_word_is_read_as_the_item_that_wrote_it() {
        let flash = Item { sku: "A.b-c_1".parse().unwrap(), pool: Pool::from_campaign_id("FLASH").unwrap() };
        for item in [item("TEE"), flash] {
            assert_eq!(Item::of_word(&item.word()), Ok(item));
        }
        for bad in ["", "TEE", "/", "/FLASH", "TEE/shelf", "TEE/a/b"] {
            assert!(Item::of_word(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn merging_adds_units_up_to_what_an_order_takes_and_loses_nothing_of_the_owners() {
        let own = BTreeMap::from([(item("TEE"), 2), (item("MUG"), 900)]);
        let guest = BTreeMap::from([(item("TEE"), 3), (item("MUG"), 900), (item("HAT"), 1)]);
        let both = BTreeMap::from([(item("TEE"), 5), (item("MUG"), 1_000), (item("HAT"), 1)]);
        assert_eq!(merged(&own, &guest), both);
        let full: BTreeMap<Item, u32> = (0..MAX_ITEMS).map(|at| (item(&format!("S{at}")), 1)).collect();
        assert_eq!(merged(&full, &guest), full);
    }
}
