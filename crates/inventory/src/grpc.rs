//! The wire's side of inventory: messages to values and back. It decides nothing.

mod campaigns;
mod catalog;
mod feeds;
mod parse;
mod stock;

pub use campaigns::CampaignApi;
pub use catalog::CatalogApi;
pub use feeds::InventoryFeeds;
pub use stock::InventoryApi;
