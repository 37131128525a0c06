//! Kill -9 of a Redis that syncs its append-only file every second. A killed process loses nothing that the kernel already
//! has, a machine that loses its power does; so the file is put back to what it was a second before.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::Fault;
use crate::drill::shop::Shop;
use crate::servers::Kind;

/// What `appendfsync everysec` may lose.
const LOST: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct RedisKill {
    /// The append-only files and their copies.
    kept: Option<(PathBuf, PathBuf)>,
}

impl Fault for RedisKill {
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        let files = shop.plan().dir.join("redis").join("appendonlydir");
        let copy = files.with_extension("earlier");
        copy_folder(&files, &copy)?;
        std::thread::sleep(LOST);
        self.kept = Some((files, copy));
        shop.stack.servers_mut().kill9(Kind::Redis)
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        let (files, copy) = self.kept.take().context("nothing was killed")?;
        std::fs::remove_dir_all(&files).context("the append-only files cannot be removed")?;
        std::fs::rename(&copy, &files).context("the earlier append-only files cannot be put back")?;
        shop.stack.servers_mut().restart(Kind::Redis)
    }
}

/// A copy of files that are being appended to ends somewhere in the middle of a command; Redis cuts that off.
fn copy_folder(from: &PathBuf, to: &PathBuf) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))
            .with_context(|| format!("cannot copy {}", entry.path().display()))?;
    }
    Ok(())
}
