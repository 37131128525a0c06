//! A part of the bench that is a process of its own: this program again, with a hidden command. It ends with the bench, however
//! that ends.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

/// How soon a part notices that the bench is gone.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a part until it fails or its parent is gone.
pub fn run(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    crate::cli::block_on(async {
        tokio::select! {
            worked = work => match worked {
                Ok(()) => bail!("a listener has ended"),
                Err(error) => Err(error),
            },
            () = orphaned() => Ok(ExitCode::SUCCESS),
        }
    })
}

async fn orphaned() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(LOOK).await;
    }
}
