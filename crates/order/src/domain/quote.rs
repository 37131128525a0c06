//! A signed price: for whom, for what, how much, until when. Whoever holds it can read it and cannot change it. Keys have names,
//! so that a new one signs while quotes of the old one are still good. No clock is read here and no key is ever shown.
//!
//! Layout of version 1, in base64url: version, key name's length and the name, valid-until (seconds), marks of buyer and
//! basket, currency, total, number of lines, their totals (LEB128), HMAC-SHA256 (RFC 2104) over all of that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use sha2::{Digest as _, Sha256};
use stampede_kit::keyring::Keyring;
use stampede_types::{BuyerId, Currency, Money};
use time::OffsetDateTime;

use super::pricing::{Priced, Wanted};
use super::promotion::Coupon;

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;
/// The contract's longest quote, in characters.
pub const MAX_CHARACTERS: usize = 2_048;

/// The first signs, all of them verify.
#[derive(Clone)]
pub struct Keys(Keyring);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a quote is for.
#[derive(Debug, Clone, Copy)]
pub struct Basket<'a> {
    pub buyer: &'a BuyerId,
    pub lines: &'a [Wanted],
    pub coupons: &'a [Coupon],
}

/// What was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    pub total: Money,
    /// Minor units of each line after promotions, gifts not among them.
    pub lines: Vec<i64>,
}

/// Why a quote is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the quote is not one of ours")]
    Altered,
    #[error("the quote was made for another buyer")]
    OtherBuyer,
    #[error("the quote was made for other lines or coupons")]
    OtherBasket,
    #[error("the quote is not valid any more")]
    Expired,
}

/// How a price differs from the quoted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub quoted: Money,
    pub total: Money,
    /// Place, minor units quoted, minor units now.
    pub lines: Vec<(usize, i64, i64)>,
}

impl Keys {
    /// Keys as `name:hex`, the first to sign with. `None` for none, a name twice, or a key of less than 32 bytes.
    #[must_use]
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Keys> {
        Keyring::parse(texts).filter(|keys| !keys.0.is_empty()).map(Keys)
    }

    /// Signs what this basket costs, until then.
    #[must_use]
    pub fn sign(&self, basket: Basket<'_>, priced: &Priced, valid_until: OffsetDateTime) -> String {
        let key = self.0.0.first().expect("there is a key: parse refuses none");
        let mut bytes = vec![VERSION, u8::try_from(key.name.len()).expect("a key's name is short")];
        bytes.extend_from_slice(key.name.as_bytes());
        bytes.extend_from_slice(&valid_until.unix_timestamp().to_be_bytes());
        bytes.extend_from_slice(&basket.buyer_mark());
        bytes.extend_from_slice(&basket.mark());
        bytes.extend_from_slice(priced.total.currency().as_str().as_bytes());
        bytes.extend_from_slice(&priced.total.amount_minor().to_be_bytes());
        let lines = &priced.lines[..basket.lines.len().min(priced.lines.len())];
        bytes.push(u8::try_from(lines.len()).expect("an order has at most a hundred lines"));
        for line in lines {
            write_number(&mut bytes, line.total.amount_minor().unsigned_abs());
        }
        let mac = key.mac.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What was quoted, if it was by us, for this basket, and is still good.
    ///
    /// # Errors
    /// The first of these that is not so.
    pub fn check(&self, quote: &str, basket: Basket<'_>, now: OffsetDateTime) -> Result<Quoted, Refused> {
        let bytes = URL_SAFE_NO_PAD.decode(quote).map_err(|_| Refused::Altered)?;
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(Refused::Altered)?;
        let mut rest = Bytes(signed);
        if rest.array::<1>()? != [VERSION] {
            return Err(Refused::Altered);
        }
        let [length] = rest.array()?;
        let name = rest.take(length.into())?;
        let key = self.0.0.iter().find(|key| key.name.as_bytes() == name).ok_or(Refused::Altered)?;
        // Compared in constant time: how long it takes says nothing about the right one.
        key.mac.clone().chain_update(signed).verify_slice(mac).map_err(|_| Refused::Altered)?;
        let valid_until = i64::from_be_bytes(rest.array()?);
        if rest.array::<16>()? != basket.buyer_mark() {
            return Err(Refused::OtherBuyer);
        }
        if rest.array::<32>()? != basket.mark() {
            return Err(Refused::OtherBasket);
        }
        if now.unix_timestamp() >= valid_until {
            return Err(Refused::Expired);
        }
        let code = rest.array::<3>()?;
        let currency: Currency =
            std::str::from_utf8(&code).ok().and_then(|code| code.parse().ok()).ok_or(Refused::Altered)?;
        let total = Money::new(i64::from_be_bytes(rest.array()?), currency);
        let [lines] = rest.array()?;
        let lines = (0..lines).map(|_| rest.number()).collect::<Result<_, _>>()?;
        Ok(Quoted { total, lines })
    }
}

impl Quoted {
    /// How the price has moved since; `None` when the same is to be paid.
    #[must_use]
    pub fn moved(&self, now: &Priced) -> Option<Moved> {
        if self.total == now.total {
            return None;
        }
        let lines = self.lines.iter().zip(&now.lines).enumerate();
        let lines = lines.map(|(at, (quoted, line))| (at, *quoted, line.total.amount_minor()));
        let lines = lines.filter(|(_, quoted, now)| quoted != now).collect();
        Some(Moved { quoted: self.total, total: now.total, lines })
    }
}

impl Basket<'_> {
    fn buyer_mark(&self) -> [u8; 16] {
        *Sha256::digest(self.buyer.as_str()).first_chunk().expect("a SHA-256 has more than sixteen bytes")
    }

    /// Lines in their order, coupons in any.
    fn mark(&self) -> [u8; 32] {
        let mut coupons: Vec<&str> = self.coupons.iter().map(Coupon::as_str).collect();
        coupons.sort_unstable();
        let mut digest = Sha256::new();
        for line in self.lines {
            let (sku, campaign) = (line.sku.as_str(), line.pool.campaign_id());
            digest.update(format!("{sku}/{campaign}/{}\n", line.quantity.get()));
        }
        for coupon in coupons {
            digest.update(format!("+{coupon}\n"));
        }
        digest.finalize().into()
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Refused> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Refused::Altered)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        self.take(N)?.try_into().map_err(|_| Refused::Altered)
    }

    fn number(&mut self) -> Result<i64, Refused> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return i64::try_from(number).map_err(|_| Refused::Altered);
            }
        }
        Err(Refused::Altered)
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low & 0x7f);
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
#[path = "quote_tests.rs"]
mod tests;
