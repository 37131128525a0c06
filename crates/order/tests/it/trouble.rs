//! What a peer may be told to do wrong, and what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use stampede_proto::common::v1::ErrorReason;
use tokio::sync::Semaphore;
use tonic::{Response, Status};

use crate::warehouse::refusal;

#[derive(Clone, Default)]
pub struct Trouble(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Answers that will be lost.
    lost: HashMap<&'static str, u32>,
    calls: HashMap<&'static str, u32>,
    gates: HashMap<&'static str, Arc<Semaphore>>,
    refused: HashMap<&'static str, ErrorReason>,
}

impl Trouble {
    /// The next answers of this method are lost after their effect.
    pub fn lose(&self, method: &'static str, answers: u32) {
        self.0.lock().unwrap().lost.insert(method, answers);
    }

    /// Calls of this method have no effect and are refused for this reason, until it is mended.
    pub fn refuse(&self, method: &'static str, reason: ErrorReason) {
        self.0.lock().unwrap().refused.insert(method, reason);
    }

    pub fn mend(&self, method: &'static str) {
        self.0.lock().unwrap().refused.remove(method);
    }

    /// Calls of this method wait, before they have an effect, until the gate is opened.
    pub fn close(&self, method: &'static str) {
        self.0.lock().unwrap().gates.insert(method, Arc::new(Semaphore::new(0)));
    }

    pub fn open(&self, method: &'static str) {
        if let Some(gate) = self.0.lock().unwrap().gates.remove(method) {
            gate.close();
        }
    }

    pub fn calls(&self, method: &'static str) -> u32 {
        self.0.lock().unwrap().calls.get(method).copied().unwrap_or(0)
    }

    /// # Errors
    /// The refusal that was asked for.
    pub async fn enter(&self, method: &'static str) -> Result<(), Status> {
        let gate = {
            let mut state = self.0.lock().unwrap();
            *state.calls.entry(method).or_default() += 1;
            state.gates.get(method).cloned()
        };
        if let Some(gate) = gate {
            let _ = gate.acquire().await;
        }
        let refused = self.0.lock().unwrap().refused.get(method).copied();
        refused.map_or(Ok(()), |reason| Err(refusal(reason).into()))
    }

    pub fn answer<T>(&self, method: &'static str, message: T) -> Result<Response<T>, Status> {
        let mut state = self.0.lock().unwrap();
        match state.lost.get_mut(method) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(Status::unavailable("the answer was lost"))
            }
            Some(_) | None => Ok(Response::new(message)),
        }
    }
}
