//! Signing profiles and certificate requests as CFSSL-style JSON. A profile decides usages, lifetime and the
//! names it permits; a request only asks.

use std::collections::BTreeMap;
use std::path::Path;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use serde::Deserialize;

use crate::{Error, Result, files};

/// One DNS label (RFC 1035): what a service or an environment may be called.
const NAME_MAX_BYTES: usize = 63;
/// The development authority's own policy and requests, built in for tests.
const DEVELOPMENT_POLICY: &str = include_str!("../../../certs/ca.json");

/// What the authority may sign: `certs/ca.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The authority's own common name.
    #[serde(rename = "CN")]
    pub common_name: String,
    #[serde(default)]
    pub names: Vec<Name>,
    /// How long the authority's own certificate lives.
    pub expiry_hours: u32,
    /// How long a revocation list may be trusted.
    pub crl_expiry_hours: u32,
    pub signing: Signing,
}

/// The profiles by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    pub profiles: BTreeMap<String, Profile>,
}

/// What one kind of certificate may be used for, how long and under which names.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub usages: Vec<Usage>,
    pub expiry_hours: u32,
    /// The services this profile signs for.
    pub services: Vec<String>,
    /// The host names and addresses it permits; `{service}` stands for the service's name.
    pub hosts: Vec<String>,
}

/// The usages CFSSL names, as far as this system needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Usage {
    #[serde(rename = "digital signature")]
    DigitalSignature,
    #[serde(rename = "server auth")]
    ServerAuth,
    #[serde(rename = "client auth")]
    ClientAuth,
}

/// What a service asks for: `certs/csr/<service>.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(rename = "CN")]
    pub common_name: String,
    pub hosts: Vec<String>,
    pub key: Key,
    #[serde(default)]
    pub names: Vec<Name>,
    /// The last part of `spiffe://stampede/<environment>/<service>`.
    pub service: String,
    /// The signing profile it asks for.
    pub profile: String,
}

/// The key to make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub algo: String,
    pub size: u16,
}

/// A part of a distinguished name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    #[serde(rename = "O")]
    pub organization: String,
}

impl Policy {
    /// Reads `ca.json`.
    pub fn read(path: &Path) -> Result<Policy> {
        read_json(path)
    }

    /// The policy of the development authority as it was when this crate was built.
    pub fn development() -> Policy {
        serde_json::from_str(DEVELOPMENT_POLICY).expect("the built-in policy is parsed by a test")
    }

    /// The profile that signs for `service`.
    pub(crate) fn profile_for(&self, service: &str) -> Result<(&str, &Profile)> {
        let found = self.signing.profiles.iter().find(|(_, profile)| profile.signs_for(service));
        found
            .map(|(name, profile)| (name.as_str(), profile))
            .ok_or_else(|| Error::ServiceNotPermitted { service: service.to_owned() })
    }
}

impl Profile {
    fn signs_for(&self, service: &str) -> bool {
        self.services.iter().any(|permitted| permitted == service)
    }

    /// Whether `host` may stand in a certificate of `service`.
    pub(crate) fn permits_host(&self, service: &str, host: &str) -> bool {
        self.hosts.iter().any(|pattern| pattern.replace("{service}", service) == host)
    }
}

impl Usage {
    pub(crate) fn key_usage(self) -> Option<KeyUsagePurpose> {
        match self {
            Usage::DigitalSignature => Some(KeyUsagePurpose::DigitalSignature),
            Usage::ServerAuth | Usage::ClientAuth => None,
        }
    }

    pub(crate) fn extended(self) -> Option<ExtendedKeyUsagePurpose> {
        match self {
            Usage::DigitalSignature => None,
            Usage::ServerAuth => Some(ExtendedKeyUsagePurpose::ServerAuth),
            Usage::ClientAuth => Some(ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
}

impl Request {
    /// The usual request of `service`: its own name and this machine's, under the profile that signs for it.
    pub fn usual(policy: &Policy, service: &str, extra_hosts: &[&str]) -> Result<Request> {
        let (profile, _) = policy.profile_for(service)?;
        let hosts = [service, "localhost", "127.0.0.1"].into_iter().chain(extra_hosts.iter().copied());
        Ok(Request {
            common_name: service.to_owned(),
            hosts: hosts.map(str::to_owned).collect(),
            key: Key { algo: "ecdsa".to_owned(), size: 256 },
            names: policy.names.clone(),
            service: service.to_owned(),
            profile: profile.to_owned(),
        })
    }

    /// Every request of a folder, by file name.
    pub fn read_all(folder: &Path) -> Result<Vec<Request>> {
        let wrap = |source| Error::File { path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(wrap)? {
            let path = entry.map_err(wrap)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| read_json(path)).collect()
    }

    /// Whether the policy lets this request have all it asks for; the profile that will sign it.
    pub(crate) fn permitted_by<'p>(&self, policy: &'p Policy) -> Result<&'p Profile> {
        check_name(&self.service)?;
        let unknown = || Error::ProfileUnknown { profile: self.profile.clone() };
        let profile = policy.signing.profiles.get(&self.profile).ok_or_else(unknown)?;
        // A subject other than the service's name would be a second identity nobody checks.
        if !profile.signs_for(&self.service) || self.common_name != self.service {
            return Err(Error::ServiceNotPermitted { service: self.common_name.clone() });
        }
        if self.key.algo != "ecdsa" || self.key.size != 256 {
            return Err(Error::KeyNotPermitted { algo: self.key.algo.clone(), size: self.key.size });
        }
        match self.hosts.iter().find(|host| !profile.permits_host(&self.service, host)) {
            None => Ok(profile),
            Some(host) => Err(Error::HostNotPermitted {
                profile: self.profile.clone(),
                service: self.service.clone(),
                host: host.clone(),
            }),
        }
    }
}

/// Refuses what could break out of `spiffe://stampede/<environment>/<service>`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(allowed) {
        return Err(Error::NameMalformed { name: name.to_owned() });
    }
    Ok(())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let missing = || Error::File { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() };
    let text = files::read_if_there(path)?.ok_or_else(missing)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}
