//! Every developer command, as a library so that the end-to-end tests start the same servers and processes the
//! same way. Nothing here listens beyond loopback, and nothing is stopped that was not started here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its terminal")]

pub mod bench;
pub mod books;
pub mod certs;
pub mod ci;
pub mod cli;
pub mod clients;
pub mod db;
pub mod drill;
pub mod events;
pub mod fuzz;
mod generator;
pub mod histories;
pub mod home;
pub mod loadtest;
mod measure;
pub mod mutants;
pub mod openapi;
pub mod orders;
pub mod payments;
pub mod pids;
pub mod ports;
mod processes;
pub mod release;
pub mod seed;
pub mod servers;
pub mod smoke;
pub mod stack;
mod staff;
pub mod stock;
pub mod terminal;
pub mod test;
pub mod tidy;
pub mod token;
pub mod up;
