//! Every setting of the simulator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use stampede_kit::config::{Problems, Reader};

#[derive(Debug, Clone)]
pub struct Config {
    /// `listen` (`PSP_SIMULATOR_LISTEN`): plain HTTP, on loopback only.
    pub listen: SocketAddr,
    /// `state` (`PSP_SIMULATOR_STATE`): the journal file; without one the truth ends with the process.
    pub state: Option<PathBuf>,
    /// `latency_ms` (`PSP_SIMULATOR_LATENCY_MS`): how long every command takes. 0 unless told.
    pub latency: Duration,
}

impl Config {
    /// # Errors
    /// Everything that is wrong with the settings, at once.
    pub fn read(reader: &mut Reader) -> Result<Self, Problems> {
        let listen: Option<SocketAddr> = reader.required("listen");
        if listen.is_some_and(|address| !address.ip().is_loopback()) {
            reader.refuse("listen", "must be on loopback: this provider takes anybody's word");
        }
        let state = reader.optional("state");
        let latency = reader.or("latency_ms", Duration::ZERO);
        reader.finish(|| Some(Self { listen: listen?, state, latency }))
    }
}
