//! Finds the servers' binaries, and installs the system package when that is this machine's way and we may;
//! otherwise it says the one command to run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::home;
use crate::terminal::Step;

/// Folders a package may put a server into that are not always on the PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];
/// The versioned folders of Debian and of the Postgres project's own packages.
const POSTGRES_FOLDERS: [(&str, &str); 2] = [("/usr/lib/postgresql", "bin"), ("/usr/local/pgsql", "bin")];

/// The program's path, by the PATH and then by the usual folders.
pub fn program(name: &str) -> Option<PathBuf> {
    let asked =
        Command::new("sh").args(["-c", "command -v \"$0\"", name]).stderr(Stdio::null()).output().ok()?;
    let answer = String::from_utf8(asked.stdout).ok()?;
    let on_path = Some(PathBuf::from(answer.trim())).filter(|path| path.is_absolute());
    on_path.or_else(|| FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file()))
}

/// The program, installed first when it is missing and may be.
pub fn or_install(name: &str, package: &str, step: &Step) -> anyhow::Result<PathBuf> {
    if let Some(path) = program(name) {
        return Ok(path);
    }
    install(package, step)?;
    program(name)
        .with_context(|| format!("the package {package} was installed, but {name} is still not here"))
}

/// The folder with `postgres`, `initdb` and `psql`; of the given major version when there is one.
pub fn postgres(major: Option<u32>) -> anyhow::Result<PathBuf> {
    let mut found = versioned_postgres();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    if let Some(path) = program("postgres").and_then(|path| path.canonicalize().ok()) {
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        if folder.join("initdb").is_file() && !found.iter().any(|(_, other)| *other == folder) {
            found.push((version_of(&folder).unwrap_or(0), folder));
        }
    }
    let fits = |version: u32| major.is_none_or(|wanted| wanted == version);
    if let Some((_, folder)) = found.iter().find(|(version, _)| fits(*version)) {
        return Ok(folder.clone());
    }
    match (major, found.first()) {
        (Some(wanted), Some((other, _))) => bail!(
            "the data was made by Postgres {wanted}, but this machine has Postgres {other}; \
             install version {wanted}, or start afresh with `cargo xtask down --wipe`"
        ),
        (_, None) | (None, Some(_)) => bail!("Postgres is not installed"),
    }
}

/// The folder with Postgres's binaries, installed first when there is none at all.
pub fn postgres_or_install(major: Option<u32>, step: &Step) -> anyhow::Result<PathBuf> {
    if postgres(None).is_err() {
        // Debian starts a cluster of its own on 5432 with the package; it is left alone and never used.
        install("postgresql", step)?;
    }
    postgres(major)
}

fn versioned_postgres() -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for (base, bin) in POSTGRES_FOLDERS {
        let Ok(entries) = std::fs::read_dir(base) else { continue };
        for entry in entries.flatten() {
            let version = entry.file_name().to_string_lossy().parse::<u32>();
            let folder = entry.path().join(bin);
            if let Ok(version) = version
                && folder.join("postgres").is_file()
                && folder.join("initdb").is_file()
            {
                found.push((version, folder));
            }
        }
    }
    found
}

/// `postgres (PostgreSQL) 15.16 (Debian …)` is 15.
fn version_of(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number =
        text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split('.').next()?.parse().ok()
}

fn install(package: &str, step: &Step) -> anyhow::Result<()> {
    let apt = program("apt-get");
    let (Some(apt), true) = (apt.as_deref(), is_root()) else {
        let command = match (&apt, program("brew")) {
            (Some(_), _) => format!("sudo apt-get install -y {package}"),
            (None, Some(_)) => format!("brew install {}", package.trim_end_matches("-server")),
            (None, None) => format!("your system's package manager, for the package {package}"),
        };
        bail!("{package} is not installed; run: {command}");
    };
    step.at(format!("installing the system package {package}"));
    let run = |arguments: &[&str]| {
        Command::new(apt)
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
    };
    let arguments = ["install", "-y", "--no-install-recommends", package];
    let mut output = run(&arguments).context("cannot run apt-get")?;
    if !output.status.success() {
        // The lists may be stale or missing; once is enough.
        run(&["update"]).context("cannot run apt-get")?;
        output = run(&arguments).context("cannot run apt-get")?;
    }
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.lines().last().unwrap_or("it said nothing");
        bail!("apt-get install {package} failed: {last}");
    }
    Ok(())
}

/// Whether Postgres has to run as somebody else.
pub fn is_root() -> bool {
    home::user() == 0
}
