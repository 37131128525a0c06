//! Where things are: the repository, its `.dev/` folder and its built binaries. It makes folders, nothing else.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The repository's root.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask/ lies in the repository").to_owned()
}

/// What `cargo xtask up` keeps.
pub fn dev() -> PathBuf {
    root().join(".dev")
}

/// What `cargo xtask test` keeps while it runs.
pub fn test() -> PathBuf {
    dev().join("test")
}

/// The folder with the services' binaries.
pub fn binaries(release: bool) -> PathBuf {
    // This program was built into the same target folder, wherever that is.
    let own = std::env::current_exe().ok();
    let target = own.as_deref().and_then(target_of).unwrap_or_else(|| root().join("target"));
    target.join(if release { "release" } else { "debug" })
}

/// `…/target` of `…/target/debug/xtask` or `…/target/debug/deps/it-0123`.
fn target_of(own: &Path) -> Option<PathBuf> {
    let profile = own.ancestors().find(|folder| folder.ends_with("debug") || folder.ends_with("release"))?;
    profile.parent().map(Path::to_owned)
}

/// The number of the user this program runs as, by the owner of its own process entry; 0 is root.
pub fn user() -> u32 {
    std::fs::metadata("/proc/self").map_or(u32::MAX, |entry| entry.uid())
}

/// Makes a folder only its owner may enter.
pub fn make(folder: &Path) -> anyhow::Result<()> {
    make_with(folder, 0o700)
}

/// Makes a folder others may pass through but not list: the user Postgres runs as must reach its own below.
pub fn make_passable(folder: &Path) -> anyhow::Result<()> {
    make_with(folder, 0o711)
}

fn make_with(folder: &Path, mode: u32) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Holds the folder for one command at a time; released when dropped.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    make_passable(folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
