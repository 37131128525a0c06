//! A private Postgres: durable, loopback only, no socket file, behind a password. Run by root, it runs as another
//! user, in a folder that user can reach. Debian's own cluster on 5432 is never touched.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::find;
use super::state::State;
use crate::home;
use crate::terminal::{self, Step};

/// Where data goes that must not lie in a folder the other user cannot enter.
const ELSEWHERE: &str = "/var/lib/stampede-dev";
/// Durable as in production, with room for every service's pool in several test processes at once.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "max_connections=300",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "log_min_messages=warning",
];

/// The user Postgres runs as: ourselves, or another one when we are root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    Own,
    Other(String),
}

impl Account {
    /// Postgres refuses to run as root.
    fn choose() -> anyhow::Result<Account> {
        if !find::is_root() {
            return Ok(Account::Own);
        }
        let known = |user: &&&str| {
            let asked =
                Command::new("id").args(["-u", user]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        match ["postgres", "nobody"].iter().find(known) {
            Some(user) => Ok(Account::Other((*user).to_owned())),
            None => bail!("Postgres does not run as root, and there is no user \"postgres\" or \"nobody\""),
        }
    }

    /// The program, run as this account.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Account::Own => Command::new(program),
            Account::Other(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", user, "--regid"])
                    .arg(group_of(user))
                    .arg("--clear-groups")
                    .arg("--");
                command.arg(program);
                // The folder we stand in may be closed to that user, and initdb minds.
                command.current_dir("/");
                command
            }
        }
    }

    fn owns(&self, folder: &Path) -> anyhow::Result<()> {
        let Account::Other(user) = self else { return Ok(()) };
        let owner = format!("{user}:{}", group_of(user));
        let status = Command::new("chown").arg(owner).arg(folder).status().context("cannot run chown")?;
        anyhow::ensure!(status.success(), "cannot give {} to the user {user}", folder.display());
        Ok(())
    }

    fn can_write(&self, folder: &Path) -> bool {
        let status = self.command("test").arg("-w").arg(folder).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

fn group_of(user: &str) -> String {
    let asked = Command::new("id").args(["-gn", user]).output();
    let name = asked.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    match name.trim() {
        "" => user.to_owned(),
        name => name.to_owned(),
    }
}

/// Makes the data folder when it is new and gives the command that runs the server.
pub fn prepare(dir: &Path, state: &mut State, port: u16, step: &Step) -> anyhow::Result<Command> {
    let _ = find::postgres_or_install(None, step)?;
    let account = Account::choose()?;
    let data = match state.postgres_data.clone().filter(|data| data.exists()) {
        Some(data) => data,
        None => choose_folder(dir, &account)?,
    };
    state.postgres_data = Some(data.clone());
    let major = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
    let folder = find::postgres(major)?;
    if major.is_none() {
        step.at("postgres: making the data folder");
        initialise(&folder, &data, &account, &state.password)?;
    }
    let mut command = account.command(folder.join("postgres"));
    command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    Ok(command)
}

/// `dir/postgres`, unless the other user cannot get there.
fn choose_folder(dir: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    let near = dir.join("postgres");
    refuse_orphan(&near)?;
    home::make(&near)?;
    account.owns(&near)?;
    if account.can_write(&near) {
        return Ok(near);
    }
    fs::remove_dir(&near).with_context(|| format!("cannot remove {}", near.display()))?;
    let key = hex::encode(&Sha256::digest(dir.as_os_str().as_encoded_bytes())[..8]);
    let far = Path::new(ELSEWHERE).join(key);
    refuse_orphan(&far)?;
    home::make_passable(Path::new(ELSEWHERE))?;
    home::make(&far)?;
    account.owns(&far)?;
    if !account.can_write(&far) {
        bail!("the user Postgres runs as can write neither {} nor {}", near.display(), far.display());
    }
    terminal::note(format!(
        "  Postgres does not run as root and its user cannot enter {}; its data is in {}",
        dir.display(),
        far.display()
    ));
    Ok(far)
}

/// Data whose password and process nobody remembers is not ours to take over or to remove.
fn refuse_orphan(folder: &Path) -> anyhow::Result<()> {
    if folder.join("PG_VERSION").exists() {
        bail!(
            "{} holds the data of an earlier stack whose servers.json is gone; remove that folder",
            folder.display()
        );
    }
    Ok(())
}

fn initialise(folder: &Path, data: &Path, account: &Account, password: &str) -> anyhow::Result<()> {
    // initdb takes the password from a file; the pipe is one that lives as long as the call.
    let script = "printf '%s\\n' \"$STAMPEDE_PASSWORD\" | \"$0\" -D \"$1\" -U postgres --auth=scram-sha-256 \
                  --pwfile=/dev/stdin --encoding=UTF8 --locale=C --no-instructions";
    let output = account
        .command("sh")
        .args(["-c", script])
        .arg(folder.join("initdb"))
        .arg(data)
        .env("STAMPEDE_PASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .context("cannot run initdb")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("initdb failed: {}", errors.lines().last().unwrap_or("it said nothing"));
    }
    Ok(())
}

/// Whether the server answers a query.
pub fn probe(url: &str) -> anyhow::Result<()> {
    psql(url, "SELECT 1").map(drop)
}

/// Makes the database when it is missing; says whether it was.
pub fn create_database(url: &str, database: &str) -> anyhow::Result<bool> {
    check_name(database)?;
    if !psql(url, &format!("SELECT 1 FROM pg_database WHERE datname = '{database}'"))?.trim().is_empty() {
        return Ok(false);
    }
    psql(url, &format!("CREATE DATABASE \"{database}\""))?;
    Ok(true)
}

pub fn drop_database(url: &str, database: &str) -> anyhow::Result<()> {
    check_name(database)?;
    psql(url, &format!("DROP DATABASE IF EXISTS \"{database}\" WITH (FORCE)")).map(drop)
}

/// A database's name goes into SQL text, so it holds nothing that could end it.
fn check_name(database: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = !database.is_empty() && database.len() <= 63 && database.bytes().all(plain);
    anyhow::ensure!(fits, "{database:?} is not a database name: use a-z, 0-9 and '_'");
    Ok(())
}

fn psql(url: &str, statement: &str) -> anyhow::Result<String> {
    let output = Command::new(find::postgres(None)?.join("psql"))
        // The URL holds the password and a command line is everybody's to read: by the environment then.
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement])
        .env("PGCONNECT_TIMEOUT", "5")
        .envs(connection(url)?)
        .stdin(Stdio::null())
        .output()
        .context("cannot run psql")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("Postgres refuses: {}", errors.lines().next().unwrap_or("it said nothing"));
    }
    String::from_utf8(output.stdout).context("psql's answer is not text")
}

/// A URL of [`super::Servers::database_url`] as the variables libpq reads.
pub fn connection(url: &str) -> anyhow::Result<[(&'static str, String); 5]> {
    let url = reqwest::Url::parse(url).context("this is not a URL of Postgres")?;
    Ok([
        ("PGHOST", url.host_str().unwrap_or("127.0.0.1").to_owned()),
        ("PGPORT", url.port().unwrap_or(5432).to_string()),
        ("PGUSER", url.username().to_owned()),
        ("PGPASSWORD", url.password().unwrap_or_default().to_owned()),
        ("PGDATABASE", url.path().trim_start_matches('/').to_owned()),
    ])
}
