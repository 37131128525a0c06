//! Every SQL statement of the service: one statement, one function, taking the connection it runs on. It knows no rule.

mod applied;
pub mod carts;
pub mod complete;
pub mod expire;
pub mod fulfilment;
pub mod late;
mod lines;
pub mod list;
pub mod orders;
pub mod place;
pub mod promotions;
pub mod returns;
pub mod review;
pub mod saga;
pub mod uses;
