//! HMAC-SHA256 keys (RFC 2104) with names, so that a new one can sign while what an old one signed is still good. No key is ever
//! shown.

use hmac::{Hmac, KeyInit as _};
use sha2::Sha256;

/// A key as short as this could be guessed.
const MIN_KEY_BYTES: usize = 32;
/// The longest name of a key.
pub const MAX_KEY_NAME: usize = 16;

/// A key with its name: letters and digits, 16 at most.
#[derive(Clone)]
pub struct Key {
    pub name: String,
    /// Nothing has been put into it.
    pub mac: Hmac<Sha256>,
}

/// Keys in the order they were given.
#[derive(Clone, Default)]
pub struct Keyring(pub Vec<Key>);

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.name)).finish()
    }
}

impl Keyring {
    /// Keys as `name:hex`. `None` for a name twice or a key of less than 32 bytes.
    #[must_use]
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut keys: Vec<Key> = Vec::new();
        for text in texts {
            let (name, secret) = text.split_once(':')?;
            let secret = hex::decode(secret).ok().filter(|secret| secret.len() >= MIN_KEY_BYTES)?;
            let named =
                (1..=MAX_KEY_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
            if !named || keys.iter().any(|key| key.name == name) {
                return None;
            }
            keys.push(Key { name: name.to_owned(), mac: Hmac::new_from_slice(&secret).ok()? });
        }
        Some(Self(keys))
    }
}
