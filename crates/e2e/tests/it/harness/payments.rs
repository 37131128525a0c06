//! Random histories of payments over real processes: authorised, captured, let go, given back and raced while the provider misbehaves by
//! script and its desk moves money by itself, and compared with the provider's own books when all is quiet. The callers never judge, the
//! judge never calls a payment process.

pub mod card;
pub mod clerk;
pub mod coverage;
pub mod judge;
pub mod program;
pub mod till;
