//! The authority: signs what a profile permits, remembers every serial, revokes. It never copies a name out of
//! a request unchecked and never hands out its own key.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevocationReason, RevokedCertParams,
    SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::profile::{Name, Policy, Request, check_name};
use crate::{Error, Result};

/// A certificate is valid from a little before now: clocks of two machines differ.
const BACKDATE: Duration = Duration::minutes(5);
/// RFC 5280 allows 20 bytes; 16 random ones cannot meet.
const SERIAL_BYTES: usize = 16;
/// Ten years: a longer development authority is a mistake in the profile.
const LIFETIME_MAX_HOURS: u32 = 87_600;

/// A certificate authority with its index of issued certificates.
#[derive(Debug)]
pub struct Authority {
    policy: Policy,
    cert_pem: String,
    key_pem: String,
    index: Index,
}

/// What the authority remembers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Index {
    /// When the authority's own certificate was made and ends.
    #[serde(with = "time::serde::timestamp")]
    pub not_before: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    pub not_after: OffsetDateTime,
    /// Grows with every list made, so that readers can tell the newer one.
    pub crl_number: u64,
    /// When the last list was made.
    #[serde(with = "time::serde::timestamp")]
    pub crl_made_at: OffsetDateTime,
    pub issued: Vec<Issued>,
}

/// One issued certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Issued {
    /// Hexadecimal, as `openssl x509 -serial` prints it in lower case.
    pub serial: String,
    pub service: String,
    pub environment: String,
    /// The DNS names and addresses it carries.
    pub hosts: Vec<String>,
    #[serde(with = "time::serde::timestamp")]
    pub not_before: OffsetDateTime,
    #[serde(with = "time::serde::timestamp")]
    pub not_after: OffsetDateTime,
    pub revoked: Option<Revocation>,
}

/// When a certificate stopped being good.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Revocation {
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
}

/// A certificate with its private key, both PEM; `cert_pem` holds the leaf alone.
#[derive(Clone)]
pub struct Leaf {
    pub cert_pem: String,
    pub key_pem: String,
    pub serial: String,
    pub not_after: OffsetDateTime,
}

impl Authority {
    /// A new authority with a new key.
    pub fn create(policy: Policy, now: OffsetDateTime) -> Result<Authority> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (serial, _) = new_serial();
        let mut params = CertificateParams::default();
        params.serial_number = Some(serial);
        params.distinguished_name = distinguished_name(&policy.common_name, &policy.names);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - BACKDATE;
        params.not_after = now + lifetime(policy.expiry_hours)?;
        let cert_pem = params.self_signed(&key)?.pem();
        let index = Index {
            not_before: params.not_before,
            not_after: params.not_after,
            crl_number: 0,
            crl_made_at: now,
            issued: Vec::new(),
        };
        Ok(Authority { policy, cert_pem, key_pem: key.serialize_pem(), index })
    }

    pub(crate) fn from_parts(
        policy: Policy,
        cert_pem: String,
        key_pem: String,
        index: Index,
    ) -> Result<Authority> {
        // Parsed here so that a damaged file is reported when read, not at the first signature.
        rcgen::Issuer::from_ca_cert_pem(&cert_pem, KeyPair::from_pem(&key_pem)?)?;
        Ok(Authority { policy, cert_pem, key_pem, index })
    }

    /// The authority's own certificate: what everybody trusts.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Every certificate issued, oldest first.
    pub fn issued(&self) -> &[Issued] {
        &self.index.issued
    }

    /// What this authority may sign.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A certificate for `spiffe://stampede/<environment>/<service>` with the names `<service>`, `localhost`,
    /// `127.0.0.1` and `extra_hosts`, as far as the profile that signs for the service permits them.
    pub fn issue(
        &mut self,
        service: &str,
        environment: &str,
        extra_hosts: &[&str],
        now: OffsetDateTime,
    ) -> Result<Leaf> {
        let request = Request::usual(&self.policy, service, extra_hosts)?;
        self.sign(&request, environment, now)
    }

    /// Signs what `request` asks for, or says which part of it the profile does not permit.
    pub fn sign(&mut self, request: &Request, environment: &str, now: OffsetDateTime) -> Result<Leaf> {
        check_name(environment)?;
        let profile = request.permitted_by(&self.policy)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let (serial, serial_hex) = new_serial();
        let (not_before, not_after) = (now - BACKDATE, now + lifetime(profile.expiry_hours)?);
        let mut params = CertificateParams::new(request.hosts.clone())?;
        let spiffe = format!("spiffe://stampede/{environment}/{}", request.service);
        params.subject_alt_names.push(SanType::URI(spiffe.try_into()?));
        params.serial_number = Some(serial);
        params.distinguished_name = distinguished_name(&request.common_name, &request.names);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = profile.usages.iter().filter_map(|usage| usage.key_usage()).collect();
        params.extended_key_usages = profile.usages.iter().filter_map(|usage| usage.extended()).collect();
        params.use_authority_key_identifier_extension = true;
        params.not_before = not_before;
        params.not_after = not_after;
        let certificate = params.signed_by(&key, &self.signer()?)?;
        self.index.issued.push(Issued {
            serial: serial_hex.clone(),
            service: request.service.clone(),
            environment: environment.to_owned(),
            hosts: request.hosts.clone(),
            not_before,
            not_after,
            revoked: None,
        });
        Ok(Leaf { cert_pem: certificate.pem(), key_pem: key.serialize_pem(), serial: serial_hex, not_after })
    }

    /// Takes back the certificate with this serial; taking it back twice keeps the first time.
    pub fn revoke(&mut self, serial: &str, now: OffsetDateTime) -> Result<()> {
        let found = self.index.issued.iter_mut().find(|issued| issued.serial == serial);
        let issued = found.ok_or_else(|| Error::SerialUnknown { serial: serial.to_owned() })?;
        issued.revoked.get_or_insert(Revocation { at: now });
        Ok(())
    }

    /// A fresh revocation list, PEM; each is numbered above the last.
    pub fn crl_pem(&mut self, now: OffsetDateTime) -> Result<String> {
        let revoked_certs = self.index.issued.iter().filter_map(revoked_entry).collect::<Result<Vec<_>>>()?;
        let list = CertificateRevocationListParams {
            this_update: now - BACKDATE,
            next_update: now + lifetime(self.policy.crl_expiry_hours)?,
            crl_number: SerialNumber::from(self.index.crl_number + 1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.signer()?)?.pem()?;
        self.index.crl_number += 1;
        self.index.crl_made_at = now;
        Ok(pem)
    }

    fn signer(&self) -> Result<rcgen::Issuer<'static, KeyPair>> {
        Ok(rcgen::Issuer::from_ca_cert_pem(&self.cert_pem, KeyPair::from_pem(&self.key_pem)?)?)
    }
}

fn revoked_entry(issued: &Issued) -> Option<Result<RevokedCertParams>> {
    let revocation = issued.revoked?;
    let serial =
        hex::decode(&issued.serial).map_err(|_| Error::SerialUnknown { serial: issued.serial.clone() });
    Some(serial.map(|bytes| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&bytes),
        revocation_time: revocation.at,
        reason_code: Some(RevocationReason::Unspecified),
        invalidity_date: None,
    }))
}

fn new_serial() -> (SerialNumber, String) {
    let mut bytes: [u8; SERIAL_BYTES] = rand::random();
    // Positive (RFC 5280 section 4.1.2.2), and never shortened by a leading zero byte.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    (SerialNumber::from_slice(&bytes), hex::encode(bytes))
}

fn distinguished_name(common_name: &str, names: &[Name]) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    for name in names {
        distinguished.push(DnType::OrganizationName, name.organization.as_str());
    }
    distinguished.push(DnType::CommonName, common_name);
    distinguished
}

fn lifetime(hours: u32) -> Result<Duration> {
    if hours == 0 || hours > LIFETIME_MAX_HOURS {
        return Err(Error::LifetimeOutOfRange { hours });
    }
    Ok(Duration::hours(i64::from(hours)))
}

#[cfg(test)]
mod tests;
