//! `db prepare`: what `cargo sqlx prepare` does, for services with a database each. The query macros describe every
//! query against a scratch database with the service's migrations, and write what they learn into a folder
//! (SQLX_OFFLINE_DIR); that folder then replaces the committed `.sqlx/`, or is compared with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use super::Service;
use crate::cli::block_on;
use crate::home;
use crate::servers::{self, Kind, Servers};
use crate::terminal::{Step, note, say};

/// File names to what is in them.
type Queries = BTreeMap<String, Vec<u8>>;

pub fn run(check: bool) -> anyhow::Result<()> {
    let crates = crates_with_queries();
    if crates.is_empty() {
        say("no service has a sqlx.toml: there are no checked queries");
        return Ok(());
    }
    let committed = home::root().join(".sqlx");
    let fresh = describe_all(&crates)?;
    let kept = read(&committed)?;
    if fresh == kept {
        say(format!(".sqlx/ is as it should be: {} queries", fresh.len()));
        return Ok(());
    }
    if check {
        bail!("{}; run `cargo xtask db prepare` and commit .sqlx/", difference(&kept, &fresh));
    }
    replace(&committed, &kept, &fresh)?;
    say(format!(".sqlx/ is renewed: {}", difference(&kept, &fresh)));
    Ok(())
}

/// A service's crate has checked queries when it says where its database is.
fn crates_with_queries() -> Vec<Service> {
    let has = |service: &Service| crate_folder(*service).join("sqlx.toml").is_file();
    Service::ALL.into_iter().filter(has).collect()
}

fn crate_folder(service: Service) -> PathBuf {
    home::root().join("crates").join(service.name())
}

fn describe_all(crates: &[Service]) -> anyhow::Result<Queries> {
    let dir = home::dev().join("prepare");
    let _held = home::lock(&dir)?;
    let step = Step::begin("Postgres for the queries");
    let servers = Servers::start_some(&dir, &[Kind::Postgres], &step)?;
    step.done("");
    let described = describe(crates, &servers, &dir.join("queries"));
    servers::stop(&dir)?;
    described
}

fn describe(crates: &[Service], servers: &Servers, out: &Path) -> anyhow::Result<Queries> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot empty {}", out.display()))?;
    }
    home::make(out)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(home::root()).args(["check", "--quiet", "--all-targets"]);
    cargo.env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", out);
    for service in crates {
        let url = migrated(servers, *service)?;
        let variable = format!("{}_DATABASE_URL", service.name().to_uppercase());
        cargo.env(variable, url).arg("-p").arg(format!("stampede-{}", service.name()));
        // Cargo does not know that the macros read the environment: only a newer file makes them run again.
        let library = crate_folder(*service).join("src/lib.rs");
        touch(&library).with_context(|| format!("cannot touch {}", library.display()))?;
    }
    note("  .. cargo check against the live schema");
    let status = cargo.status().context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "the services do not compile against their migrations; see above");
    read(out)
}

/// A new scratch database with the service's migrations; its URL.
fn migrated(servers: &Servers, service: Service) -> anyhow::Result<String> {
    let database = format!("prepare_{}", service.name());
    servers.drop_database(&database)?;
    servers.create_database(&database)?;
    let url = servers.database_url(&database);
    let migrations = home::root().join("migrations").join(service.name());
    block_on(async {
        let migrator = Migrator::new(migrations.as_path()).await?;
        let mut connection = sqlx::PgConnection::connect(&url).await?;
        migrator.run(&mut connection).await?;
        Ok(connection.close().await?)
    })
    .with_context(|| format!("the migrations of {} do not run", service.name()))?;
    Ok(url)
}

fn touch(path: &Path) -> std::io::Result<()> {
    let times = fs::FileTimes::new().set_modified(stampede_kit::clock::Clock::system().now().into());
    fs::File::options().append(true).open(path)?.set_times(times)
}

fn read(folder: &Path) -> anyhow::Result<Queries> {
    let mut queries = Queries::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(queries) };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            let content = fs::read(entry.path()).with_context(|| format!("cannot read {name}"))?;
            queries.insert(name, content);
        }
    }
    Ok(queries)
}

fn replace(folder: &Path, old: &Queries, new: &Queries) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(folder.join(name)).with_context(|| format!("cannot remove {name}"))?;
    }
    for (name, content) in new.iter().filter(|(name, content)| old.get(*name) != Some(*content)) {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn difference(old: &Queries, new: &Queries) -> String {
    let added = new.keys().filter(|name| !old.contains_key(*name)).count();
    let removed = old.keys().filter(|name| !new.contains_key(*name)).count();
    let changed =
        new.iter().filter(|(name, content)| old.get(*name).is_some_and(|was| was != *content)).count();
    format!("{added} queries added, {removed} removed, {changed} changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(pairs: &[(&str, &str)]) -> Queries {
        pairs.iter().map(|(name, text)| (format!("query-{name}.json"), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_folder_becomes_what_the_macros_described() {
        let folder = tempfile::tempdir().unwrap();
        let old = queries(&[("gone", "1"), ("same", "2"), ("other", "3")]);
        let new = queries(&[("same", "2"), ("other", "4"), ("fresh", "5")]);
        replace(folder.path(), &Queries::new(), &old).unwrap();
        std::fs::write(folder.path().join("README.md"), "kept").unwrap();

        replace(folder.path(), &old, &new).unwrap();
        assert_eq!(read(folder.path()).unwrap(), new);
        assert!(folder.path().join("README.md").exists());
        assert_eq!(difference(&old, &new), "1 queries added, 1 removed, 1 changed");
    }
}
