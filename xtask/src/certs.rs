//! `certs`: the development authority's folder, kept good. Profiles and requests are read from `certs/`; keys are
//! written to `certs/out/`, which git ignores.

use std::path::{Path, PathBuf};

use stampede_kit::clock::Clock;
use stampede_pki::{Folder, Policy, Request};

use crate::home;
use crate::terminal::say;

/// The environment of everything that runs on a developer's machine.
pub const ENVIRONMENT: &str = "dev";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The environment in the certificates' identity, `spiffe://stampede/<environment>/<service>`.
    #[arg(long, default_value = ENVIRONMENT)]
    environment: String,
    /// Where to write.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Take back this service's certificates and issue a new one.
    #[arg(long)]
    revoke: Option<String>,
}

/// The folder of the development certificates.
pub fn folder() -> PathBuf {
    home::root().join("certs/out")
}

/// Opens the folder, issuing and renewing what has to be; says which services got a new certificate.
pub fn ensure(out: &Path, environment: &str) -> anyhow::Result<(Folder, Vec<String>)> {
    let (source, now) = (home::root().join("certs"), Clock::system().now());
    let policy = Policy::read(&source.join("ca.json"))?;
    let requests = Request::read_all(&source.join("csr"))?;
    let mut folder = Folder::open(out, policy, now)?;
    let renewed = folder.renew(&requests, environment, now)?;
    Ok((folder, renewed))
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let out = args.out.clone().unwrap_or_else(folder);
    home::make(&out)?;
    let _held = home::lock(&home::dev())?;
    if let Some(service) = &args.revoke {
        let (mut folder, _) = ensure(&out, &args.environment)?;
        let count = folder.revoke(service, Clock::system().now())?;
        say(format!(
            "revoked {count} certificates of {service}; the list is {}",
            folder.crl_path().display()
        ));
    }
    let (folder, renewed) = ensure(&out, &args.environment)?;
    match renewed.as_slice() {
        [] => say(format!("every certificate in {} is good", out.display())),
        services => say(format!("issued {} into {}", services.join(", "), out.display())),
    }
    if folder.is_fresh() {
        say("the authority is new: whatever trusted the old one has to be restarted");
    }
    Ok(())
}
