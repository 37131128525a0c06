//! A shop of one's own for a story, and what is true of it at the end of every story.

mod books;
mod buyer;
pub mod datacentres;
pub mod feed;
pub mod history;
mod shop;

pub use buyer::{Answer, Buyer};
pub use shop::{CAMPAIGN, SKU, Shop, UNIT_PRICE, eventually};
