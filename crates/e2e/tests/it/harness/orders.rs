//! Random histories of orders over real processes: placed, paid, cancelled, shipped, sent back and reviewed while everything is killed, recorded
//! call by call, and compared with a model and with the books when all is quiet. The recorder never decides, the model never asks.

mod bank;
pub mod books;
pub mod check;
pub mod coverage;
pub mod market;
pub mod model;
pub mod program;
pub mod record;
pub mod settle;
pub mod talk;
