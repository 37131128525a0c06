//! The append-only file behind the books: one JSON line an effect, written before the answer. A killed process loses none of
//! them; a power cut may, because nothing is synced: this is a simulator.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::bank::Operation;
use crate::desk::Happening;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    Operation(Operation),
    /// What nobody asked for, as it was written before it had a time.
    Happened(Happening),
    /// What nobody asked for, and when: milliseconds since 1970.
    HappenedAt(i64, Happening),
    /// The key's one misbehaviour without effect has happened.
    Spent(String),
}

/// Without a file it forgets.
#[derive(Debug, Default)]
pub struct Journal(Option<File>);

impl Journal {
    /// Opens or makes the file, and gives what it holds.
    pub fn open(path: Option<&Path>) -> anyhow::Result<(Self, Vec<Entry>)> {
        let Some(path) = path else { return Ok((Self(None), Vec::new())) };
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("state: cannot open {}", path.display()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context("state: cannot be read")?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let entries = bytes[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).context("state: a line is not an entry of this provider")
            })
            .collect::<anyhow::Result<_>>()?;
        // Half a line is an operation whose answer nobody got: the next entry takes its place.
        let end = u64::try_from(whole).context("state: is too long")?;
        file.set_len(end).context("state: cannot be cut")?;
        file.seek(SeekFrom::Start(end)).context("state: cannot be positioned")?;
        Ok((Self(Some(file)), entries))
    }

    pub fn append(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let mut line = serde_json::to_vec(entry).context("an entry is plain data")?;
        line.push(b'\n');
        file.write_all(&line).context("state: cannot be written")
    }
}
