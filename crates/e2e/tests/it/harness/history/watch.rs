//! A reader of the feed that runs along: it takes down every message and goes on from its token, at any process, when a stream
//! breaks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stampede_proto::inventory::v1::watch_stock_response::Update;
use tokio::task::JoinHandle;

use super::record::{Heard, Level};
use super::talk::{Processes, level};

/// After a stream broke.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Notes {
    heard: Vec<Heard>,
    refused: Vec<String>,
}

/// A reader at work; it stops when it is dropped.
pub struct Reader {
    notes: Arc<Mutex<Notes>>,
    reading: JoinHandle<()>,
}

impl Reader {
    pub fn start(processes: Processes, skus: Vec<String>) -> Self {
        let notes = Arc::<Mutex<Notes>>::default();
        let reading = tokio::spawn(read(processes, skus, notes.clone()));
        Self { notes, reading }
    }

    /// Everything heard so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).heard.clone()
    }

    /// Tokens of ours that were refused: there must be none.
    pub fn refused(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }

    /// The last told of each cell.
    pub fn last(&self) -> Vec<Level> {
        let mut last = std::collections::BTreeMap::new();
        for level in self.heard().into_iter().flat_map(|heard| heard.levels) {
            last.insert(level.cell.clone(), level);
        }
        last.into_values().collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(processes: Processes, skus: Vec<String>, notes: Arc<Mutex<Notes>>) {
    let mut token = String::new();
    for stream in 0.. {
        let process = stream % processes.count();
        match processes.watch(process, &skus, token.clone()).await {
            Ok(mut messages) => {
                while let Ok(Some(message)) = messages.message().await {
                    token = message.resume_token;
                    let levels = match message.update {
                        Some(Update::Snapshot(snapshot)) => snapshot.levels,
                        Some(Update::Delta(delta)) => delta.levels,
                        Some(Update::Heartbeat(_)) | None => Vec::new(),
                    };
                    let levels = levels.into_iter().map(level).collect();
                    let heard = Heard { stream, sequence: message.sequence, levels };
                    notes.lock().unwrap_or_else(PoisonError::into_inner).heard.push(heard);
                }
            }
            Err(status) if status.code() == tonic::Code::Unavailable => {}
            Err(status) => {
                notes.lock().unwrap_or_else(PoisonError::into_inner).refused.push(format!("{status:?}"));
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
