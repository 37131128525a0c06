//! The rules of orders as functions of values. Nothing here awaits, reads a clock, draws a random number or knows SQL or the
//! wire.

pub mod cart;
pub mod diagram;
pub mod fulfilment;
pub mod key;
pub mod late;
pub mod method;
pub mod order;
pub mod page;
pub mod pricing;
pub mod promotion;
pub mod quote;
pub mod refund;
pub mod resume;
pub mod retry;
pub mod returns;
pub mod review;
pub mod saga;
pub mod state;
mod words;

pub use words::UnknownWord;
