//! Random concurrent histories over several inventory processes, recorded call by call and checked offline. The recorder never
//! decides, the checker never asks.

pub mod books;
pub mod check;
pub mod faults;
pub mod market;
pub mod program;
pub mod record;
pub mod settle;
pub mod talk;
pub mod watch;
