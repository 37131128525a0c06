//! Settings: read once at the start from the environment and one TOML file, checked, and passed on as values.
//! Key `tls.cert` of the service `order` is the variable `ORDER_TLS_CERT`, or `[tls] cert` in the file that
//! `ORDER_CONFIG` names; the environment wins. Every problem is reported at once, unknown names among them.
//! This is the only place that reads the environment; it never keeps a global.

mod problems;
mod reader;
mod server;
mod setting;

pub use problems::{Problem, Problems};
pub use reader::Reader;
pub use server::{FrontTls, Jwt, Limits, Server, Tls};
pub use setting::{Ratio, Setting};
