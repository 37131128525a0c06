//! The authority on disk (`certs/out/`): made once, renewed when a third of a lifetime is left, never
//! overwritten while good. Several stacks may share one folder.

use std::path::{Path, PathBuf};

use time::{Duration, OffsetDateTime};

use crate::authority::{Authority, Index, Leaf};
use crate::profile::{Policy, Request};
use crate::tokens::Issuer;
use crate::{Error, Result, files};

/// A certificate with less than this part of its life left is renewed.
const RENEW_BELOW: f64 = 1.0 / 3.0;

/// A folder with an authority, its leaves, its revocation list, the token issuer's key and the keys of quotes and webhooks.
pub struct Folder {
    path: PathBuf,
    authority: Authority,
    issuer: Issuer,
    quote_key: String,
    webhook_key: String,
    fresh: bool,
}

impl Folder {
    /// Opens the folder, making the authority and the token key where they are missing or worn out.
    pub fn open(path: &Path, policy: Policy, now: OffsetDateTime) -> Result<Folder> {
        files::make_folder(path)?;
        let kept = load(path, &policy)?.filter(|authority| {
            let index = authority.index();
            life_left(index.not_before, index.not_after, now) > RENEW_BELOW
        });
        let fresh = kept.is_none();
        let authority = match kept {
            Some(authority) => authority,
            None => Authority::create(policy, now)?,
        };
        let jwt_key = path.join("jwt.key");
        let issuer = match files::read_if_there(&jwt_key)? {
            Some(pem) => Issuer::from_pem(&pem)?,
            None => Issuer::generate()?,
        };
        let quote_key = kept_key(&path.join("quote.key"))?;
        let webhook_key = kept_key(&path.join("webhook.key"))?;
        let mut folder = Folder { path: path.to_owned(), authority, issuer, quote_key, webhook_key, fresh };
        // Services read these files again when they change, so they are left alone while good.
        write_if_other(&jwt_key, folder.issuer.key_pem())?;
        write_if_other(&folder.jwks_path(), &folder.issuer.jwks())?;
        if fresh {
            files::write(&path.join("ca.key"), folder.authority.key_pem().as_bytes())?;
            files::write(&folder.ca_path(), folder.authority.cert_pem().as_bytes())?;
        }
        if fresh || folder.list_is_worn(now) {
            folder.save(now)?;
        }
        Ok(folder)
    }

    /// Issues what is missing, worn out or asks for other names; says which services got a new certificate.
    pub fn renew(
        &mut self,
        requests: &[Request],
        environment: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<String>> {
        let mut renewed = Vec::new();
        for request in requests {
            if self.is_good(request, environment, now) {
                continue;
            }
            let leaf = self.authority.sign(request, environment, now)?;
            self.write_leaf(&request.service, &leaf)?;
            renewed.push(request.service.clone());
        }
        if !renewed.is_empty() {
            self.save(now)?;
        }
        Ok(renewed)
    }

    /// Takes back every unexpired certificate of `service` and writes the new list; says how many there were.
    pub fn revoke(&mut self, service: &str, now: OffsetDateTime) -> Result<usize> {
        let live = |issued: &&crate::Issued| {
            issued.service == service && issued.revoked.is_none() && issued.not_after > now
        };
        let serials: Vec<String> =
            self.authority.issued().iter().filter(live).map(|issued| issued.serial.clone()).collect();
        for serial in &serials {
            self.authority.revoke(serial, now)?;
        }
        self.save(now)?;
        Ok(serials.len())
    }

    pub fn ca_path(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    pub fn crl_path(&self) -> PathBuf {
        self.path.join("crl.pem")
    }

    pub fn jwks_path(&self) -> PathBuf {
        self.path.join("jwks.json")
    }

    pub fn cert_path(&self, service: &str) -> PathBuf {
        self.path.join(format!("{service}.pem"))
    }

    pub fn key_path(&self, service: &str) -> PathBuf {
        self.path.join(format!("{service}.key"))
    }

    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The key that signs development tokens.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The key that signs development quotes, as the setting `quote.keys` of the order service takes it.
    pub fn quote_key(&self) -> &str {
        &self.quote_key
    }

    /// The key that signs webhooks in development, as `psp.webhook_keys` of the payment service takes it.
    pub fn webhook_key(&self) -> &str {
        &self.webhook_key
    }

    /// Whether the authority was made by this opening: then no older certificate is good.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    fn is_good(&self, request: &Request, environment: &str, now: OffsetDateTime) -> bool {
        // The files hold the last one issued, whatever environment it was for.
        let last = self.authority.issued().iter().rev().find(|issued| issued.service == request.service);
        let there = self.cert_path(&request.service).exists() && self.key_path(&request.service).exists();
        last.is_some_and(|issued| {
            there
                && issued.revoked.is_none()
                && issued.environment == environment
                && issued.hosts == request.hosts
                && life_left(issued.not_before, issued.not_after, now) > RENEW_BELOW
        })
    }

    fn list_is_worn(&self, now: OffsetDateTime) -> bool {
        let life = Duration::hours(i64::from(self.authority.policy().crl_expiry_hours));
        let made_at = self.authority.index().crl_made_at;
        !self.crl_path().exists() || (made_at + life - now) / life <= RENEW_BELOW
    }

    fn write_leaf(&self, service: &str, leaf: &Leaf) -> Result<()> {
        // The key goes first: a reader that finds the new certificate finds its key.
        files::write(&self.key_path(service), leaf.key_pem.as_bytes())?;
        files::write(&self.cert_path(service), leaf.cert_pem.as_bytes())
    }

    fn save(&mut self, now: OffsetDateTime) -> Result<()> {
        let crl = self.authority.crl_pem(now)?;
        let path = self.path.join("index.json");
        let index = serde_json::to_string_pretty(self.authority.index())
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        files::write(&path, index.as_bytes())?;
        files::write(&self.crl_path(), crl.as_bytes())
    }
}

/// The key in the file, or a new one that is there from now on.
fn kept_key(path: &Path) -> Result<String> {
    if let Some(key) = files::read_if_there(path)? {
        return Ok(key);
    }
    let secret: [u8; 32] = rand::random();
    let key = format!("dev:{}", hex::encode(secret));
    files::write(path, key.as_bytes())?;
    Ok(key)
}

fn write_if_other(path: &Path, content: &str) -> Result<()> {
    if files::read_if_there(path)?.as_deref() == Some(content) {
        return Ok(());
    }
    files::write(path, content.as_bytes())
}

fn load(path: &Path, policy: &Policy) -> Result<Option<Authority>> {
    let cert = files::read_if_there(&path.join("ca.pem"))?;
    let key = files::read_if_there(&path.join("ca.key"))?;
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let index_path = path.join("index.json");
    let Some(text) = files::read_if_there(&index_path)? else { return Ok(None) };
    let index: Index =
        serde_json::from_str(&text).map_err(|source| Error::Json { path: index_path, source })?;
    Authority::from_parts(policy.clone(), cert, key, index).map(Some)
}

/// The part of a certificate's life that is still to come.
fn life_left(not_before: OffsetDateTime, not_after: OffsetDateTime, now: OffsetDateTime) -> f64 {
    (not_after - now) / (not_after - not_before)
}

#[cfg(test)]
mod tests;
