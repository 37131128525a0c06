//! The wire's side of inventory: messages to values and back. It decides nothing.

mod audit;
mod campaigns;
mod catalog;
mod feeds;
mod import;
mod parse;
mod reserve;
mod stock;
mod stream;
mod update;

pub use audit::AuditApi;
pub use campaigns::CampaignApi;
pub use catalog::CatalogApi;
pub use feeds::InventoryFeeds;
pub use stock::InventoryApi;
pub use stream::IN_FLIGHT;

use stampede_kit::Contract;
use stampede_kit::contract::Rules;

/// The rules of a method that checks itself.
fn rules(contract: &Contract, path: &str) -> Rules {
    contract.rules_of(path).expect("the contract declares the method this service is generated from")
}
