//! A webhook's signature: `t=<unix seconds>,v1=<hex>`, HMAC-SHA256 (RFC 2104) over `<t>.<body>`, as Stripe's published scheme has it.
//! Keys have names; all of them verify, and a signature may carry several values, so that either side can rotate first. No
//! clock is read here, no key is ever shown, and a comparison takes as long whatever it finds.

use hmac::Mac as _;
use stampede_kit::keyring::{Key, Keyring};
use time::OffsetDateTime;

/// How far from now a signature may have been made: later ones may be replays.
const TOLERANCE_SECONDS: u64 = 300;
/// Values of one signature that are looked at.
const MAX_VALUES: usize = 4;

/// Any of them verifies.
#[derive(Clone, Default)]
pub struct Keys(Keyring);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    #[error("the signature is of none of the provider's keys")]
    Bad,
    #[error("the signature was made too far from now")]
    Stale,
}

impl Keys {
    /// Keys as `name:hex`. `None` for a name twice or a key of less than 32 bytes; no keys verify nothing.
    #[must_use]
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        Keyring::parse(texts).map(Self)
    }

    /// Keys that are given as text, such as Stripe's `whsec_…`: its bytes sign. `None` for one of less than 32.
    #[must_use]
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let named: Vec<String> =
            texts.into_iter().enumerate().map(|(at, text)| format!("{at}:{}", hex::encode(text))).collect();
        Self::parse(named.iter().map(String::as_str))
    }

    /// # Errors
    /// No key made it over these very bytes, or it was made more than five minutes from `now`.
    pub fn verify(&self, signature: &str, body: &[u8], now: OffsetDateTime) -> Result<(), Unsigned> {
        let (at, values) = parts(signature).ok_or(Unsigned::Bad)?;
        let signed_by = |key: &Key| {
            let mac = key.mac.clone().chain_update(at).chain_update(b".").chain_update(body);
            values.iter().any(|value| mac.clone().verify_slice(value).is_ok())
        };
        if !self.0.0.iter().any(signed_by) {
            return Err(Unsigned::Bad);
        }
        let at: i64 = at.parse().map_err(|_| Unsigned::Bad)?;
        if now.unix_timestamp().abs_diff(at) > TOLERANCE_SECONDS { Err(Unsigned::Stale) } else { Ok(()) }
    }
}

/// The time as it was signed, and the values.
fn parts(signature: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let (mut at, mut values) = (None, Vec::new());
    for part in signature.split(',') {
        match part.trim().split_once('=')? {
            ("t", text) => at = Some(text),
            ("v1", text) if values.len() < MAX_VALUES => values.push(hex::decode(text).ok()?),
            // Other versions are somebody else's.
            (_, _) => {}
        }
    }
    Some((at?, values))
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _};
    use sha2::Sha256;

    use super::*;

    const OLD: &str = "old:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "new:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff";
    const AT: i64 = 1_700_000_000;

    fn value(key: &str, at: &str, body: &[u8]) -> String {
        let secret = hex::decode(key.split_once(':').unwrap().1).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap().chain_update(at).chain_update(b".");
        hex::encode(mac.chain_update(body).finalize().into_bytes())
    }

    fn sign(key: &str, at: i64, body: &[u8]) -> String {
        format!("t={at},v1={}", value(key, &at.to_string(), body))
    }

    fn verify(keys: &[&str], signature: &str, body: &[u8], now: i64) -> Result<(), Unsigned> {
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        Keys::parse(keys.iter().copied()).unwrap().verify(signature, body, now)
    }

    #[test]
    fn the_very_bytes_at_their_time_are_believed_and_nothing_else() {
        let good = sign(OLD, AT, b"{}");
        assert_eq!(verify(&[OLD], &good, b"{}", AT + 300), Ok(()));
        assert_eq!(verify(&[OLD], &good, b"{} ", AT), Err(Unsigned::Bad));
        assert_eq!(verify(&[NEW], &good, b"{}", AT), Err(Unsigned::Bad));
        assert_eq!(verify(&[], &good, b"{}", AT), Err(Unsigned::Bad));
        let moved = good.replace(&AT.to_string(), &(AT + 1).to_string());
        assert_eq!(verify(&[OLD], &moved, b"{}", AT), Err(Unsigned::Bad), "the time is signed too");
        for nonsense in ["", "t=", "v1=00", "t=1,v1=zz", "t=1,v2=00", "t=x,v1="] {
            assert_eq!(verify(&[OLD], nonsense, b"{}", AT), Err(Unsigned::Bad), "{nonsense}");
        }
    }

    #[test]
    fn an_old_signature_is_a_replay_and_one_of_the_future_no_better() {
        let good = sign(OLD, AT, b"{}");
        assert_eq!(verify(&[OLD], &good, b"{}", AT + 301), Err(Unsigned::Stale));
        assert_eq!(verify(&[OLD], &good, b"{}", AT - 301), Err(Unsigned::Stale));
    }

    #[test]
    fn a_key_is_rotated_by_either_side_first() {
        assert_eq!(verify(&[NEW, OLD], &sign(OLD, AT, b"{}"), b"{}", AT), Ok(()));
        assert_eq!(verify(&[NEW, OLD], &sign(NEW, AT, b"{}"), b"{}", AT), Ok(()));
        let both = format!("{},v1={}", sign(NEW, AT, b"{}"), value(OLD, &AT.to_string(), b"{}"));
        assert_eq!(verify(&[OLD], &both, b"{}", AT), Ok(()));
    }

    #[test]
    fn a_short_key_a_name_twice_and_a_key_that_shows_are_refused() {
        assert!(Keys::parse(["k:00ff"]).is_none() && Keys::parse([OLD, OLD]).is_none());
        assert_eq!(format!("{:?}", Keys::parse([OLD, NEW]).unwrap()), r#"["old", "new"]"#);
    }
}
