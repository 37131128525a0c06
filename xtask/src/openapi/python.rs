//! Python packages, pinned with everything below them, in an environment of their own under `.dev/tools`. It touches no other
//! environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The `bin` folder of an environment that has exactly `requirements`; made on first use and when they change.
pub fn environment(root: &Path, name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = root.join(".dev/tools").join(name);
    let (bin, stamp) = (folder.join("bin"), folder.join("requirements.txt"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(bin);
    }
    if !quiet(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        bail!(
            "{name} needs python3 with its venv module, which is missing (Debian: apt-get install python3-venv)"
        );
    }
    println!("installing {name}");
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder).status();
    if !made.context("python3 is missing")?.success() {
        bail!("python3 could not make an environment in .dev/tools/{name}");
    }
    let wanted = folder.join("wanted.txt");
    std::fs::write(&wanted, requirements).context("cannot write into .dev/tools")?;
    let installed = Command::new(bin.join("pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
        .arg(&wanted)
        .status();
    if !installed.context("the environment has no pip")?.success() {
        bail!("pip could not install {name}; see above");
    }
    // Last: an installation that broke off is made again.
    std::fs::rename(&wanted, &stamp)?;
    Ok(bin)
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
