//! The crowd: buyers with tokens of their own, and one order for each request.

use stampede_pki::{Claims, Issuer};
use time::OffsetDateTime;
use uuid::Uuid;

/// Buyers with their bearer tokens, made before the run so that signing is not measured.
pub struct Crowd {
    bearers: Vec<String>,
    run: Uuid,
}

impl Crowd {
    pub fn gather(buyers: usize, issuer: &Issuer, now: OffsetDateTime, run: Uuid) -> anyhow::Result<Self> {
        let bearers = (0..buyers)
            .map(|n| {
                let mut claims = Claims::new(format!("load-{run}-{n}"), ["buyer"]);
                claims.ttl = time::Duration::hours(4);
                Ok(format!("Bearer {}", issuer.issue(&claims, now)?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { bearers, run })
    }

    /// Who sends request `number`: a fixed shuffle, so that a buyer's requests are spread over the run.
    pub fn bearer(&self, number: u64) -> &str {
        // A multiplicative hash (Knuth): neighbours in time are strangers.
        let at = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        &self.bearers[(at % self.bearers.len() as u64) as usize]
    }

    /// The idempotency key of request `number`.
    pub fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }
}
