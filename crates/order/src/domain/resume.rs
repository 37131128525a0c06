//! Where a watcher of an order was. A token belongs to one order and is refused for any other. It is not a secret and grants
//! nothing: who may watch is decided again each time.

use sha2::{Digest as _, Sha256};
use stampede_types::OrderId;

/// Version 1 of the layout: this byte, the order's version, mark of the order.
const LAYOUT: u8 = 1;
const BYTES: usize = 1 + 8 + 8;

/// Not one of ours, or another order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the resume token is not of this order")]
pub struct InvalidToken;

/// Of a watcher that has been told this version of the order.
#[must_use]
pub fn token(order: OrderId, version: i64) -> String {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.push(LAYOUT);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&mark(order));
    hex::encode(bytes)
}

/// The version that was told, 1 or more. Whether the order has come so far is for the caller to see.
///
/// # Errors
/// The token is not one of this order.
pub fn told(order: OrderId, token: &str) -> Result<i64, InvalidToken> {
    let bytes: [u8; BYTES] =
        hex::decode(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidToken)?;
    let (layout, rest) = bytes.split_first().expect("a token has a first byte");
    let (version, of) = rest.split_first_chunk::<8>().expect("a token has its version");
    let version = i64::from_be_bytes(*version);
    let ours = *layout == LAYOUT && of == mark(order) && version >= 1;
    ours.then_some(version).ok_or(InvalidToken)
}

fn mark(order: OrderId) -> [u8; 8] {
    let digest = Sha256::new().chain_update("watch/").chain_update(order.uuid().as_bytes()).finalize();
    *digest.first_chunk().expect("a SHA-256 has more than eight bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn order(id: u128) -> OrderId {
        OrderId::new(Uuid::from_u128(id))
    }

    #[test]
    fn a_token_of_another_order_or_of_no_version_is_refused() {
        assert_eq!(told(order(1), &token(order(1), 7)), Ok(7));
        assert_eq!(told(order(2), &token(order(1), 7)), Err(InvalidToken));
        for version in [0, -1, i64::MIN] {
            assert_eq!(told(order(1), &token(order(1), version)), Err(InvalidToken), "{version}");
        }
        let longer = token(order(1), 7) + "00";
        let other_layout = token(order(1), 7).replacen("01", "02", 1);
        for broken in ["", "zz", longer.as_str(), other_layout.as_str()] {
            assert_eq!(told(order(1), broken), Err(InvalidToken), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_refused_and_never_a_panic(text in ".{0,60}") {
            let _ = told(order(1), &text);
        }
    }
}
