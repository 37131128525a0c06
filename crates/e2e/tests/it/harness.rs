//! A shop of one's own for a story, and what is true of it at the end of every story.

pub mod books;
mod buyer;
pub mod datacentres;
pub mod feed;
pub mod history;
pub mod orders;
pub mod payments;
pub mod searched;
mod shop;
pub mod stage;

pub use buyer::{Answer, Buyer};
pub use shop::{CAMPAIGN, SKU, Shop, UNIT_PRICE, eventually, within};

/// A number from the environment, by which somebody steers a history.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}
