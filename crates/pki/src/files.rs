//! Reading and writing the authority's files: owner-only and all or nothing, so that a reader never sees
//! half a key and nobody else sees any of it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::{Error, Result};

/// Owner may read and write, nobody else anything.
const FILE_MODE: u32 = 0o600;
/// Owner may enter, nobody else.
const FOLDER_MODE: u32 = 0o700;

/// Makes the folder, and those above it, where they are missing.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Replaces the file in one step: a sibling is written, synced and renamed over it.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension(format!("new-{:08x}", rand::random::<u32>()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        // The half-written sibling is of no use to anybody; that it may be gone already is fine.
        let _ = fs::remove_file(&beside);
        Error::File { path: path.to_owned(), source }
    })
}

/// The file's text, or nothing when there is no such file.
pub fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}
