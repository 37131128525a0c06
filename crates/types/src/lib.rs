//! Money, ids and quantities: the values every floor shares, parsed once and trusted after. No async, no IO, no clock.

pub mod card;
mod ids;
mod key;
mod money;
mod names;
mod quantity;
pub mod tenders;

pub use ids::{OrderId, PaymentId, RequestId, ReservationId};
pub use key::{IdempotencyKey, InvalidIdempotencyKey};
pub use money::{Currency, InvalidCurrency, Money, MoneyError};
pub use names::{BuyerId, CampaignId, InvalidName, Pool, SkuId};
pub use quantity::{InvalidQuantity, Quantity};
