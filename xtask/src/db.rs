//! `db`: the databases of the running stack, and the committed `.sqlx/` that queries are checked against.

mod prepare;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::servers::Servers;
use crate::terminal::{Step, say};
use crate::{home, servers};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the URL of a service's database.
    Url { service: Service },
    /// Open psql on a service's database.
    Psql {
        service: Service,
        /// Passed on to psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Make the databases that are missing.
    Create,
    /// Renew .sqlx/ from the migrations and the queries.
    Prepare {
        /// Change nothing; fail when .sqlx/ is not what it would become.
        #[arg(long)]
        check: bool,
    },
}

/// The services that keep something; each has a database of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    Order,
    Inventory,
    Payment,
}

impl Service {
    pub const ALL: [Service; 3] = [Service::Order, Service::Inventory, Service::Payment];

    pub fn name(self) -> &'static str {
        match self {
            Service::Order => "order",
            Service::Inventory => "inventory",
            Service::Payment => "payment",
        }
    }
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Url { service } => say(running()?.database_url(service.name())),
        Command::Psql { service, args } => return psql(*service, args),
        Command::Create => create()?,
        Command::Prepare { check } => prepare::run(*check)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn running() -> anyhow::Result<Servers> {
    Servers::running(&home::dev())?.context("the servers do not run; start them with `cargo xtask up`")
}

fn psql(service: Service, args: &[String]) -> anyhow::Result<ExitCode> {
    let servers = running()?;
    let status = std::process::Command::new(servers.psql()?)
        .envs(servers::connection(&servers.database_url(service.name()))?)
        .args(args)
        .status()
        .context("cannot run psql")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn create() -> anyhow::Result<()> {
    let _held = home::lock(&home::dev())?;
    let step = Step::begin("Databases");
    let servers = Servers::start(&home::dev(), &step)?;
    let mut made = Vec::new();
    for service in Service::ALL {
        if servers.create_database(service.name())? {
            made.push(service.name());
        }
    }
    step.done(if made.is_empty() { "all there".to_owned() } else { format!("made {}", made.join(", ")) });
    Ok(())
}
