//! The shape of `idempotency-key`: there when the method's contract says BY_KEY, and never longer or stranger than a key. What
//! the key means is decided where the effect is (`kit::idempotency`).

use http::HeaderMap;
use tonic::Code;

use crate::context::IDEMPOTENCY_KEY;
use crate::contract::{Idempotency, Method};
use crate::refusal::{Refusal, reason};

const MAX_KEY_BYTES: usize = 128;

pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(IDEMPOTENCY_KEY) {
        Some(key) if is_key(key.as_bytes()) => Ok(()),
        Some(_) => Err(Refusal::new(
            Code::InvalidArgument,
            reason::INVALID_ARGUMENT,
            "the idempotency key is malformed",
        )
        .field(IDEMPOTENCY_KEY, format!("must be 1 to {MAX_KEY_BYTES} visible ASCII characters"))),
        None if method.calling.idempotency == Idempotency::ByKey => {
            let text =
                "this call needs the header idempotency-key, chosen by you and the same on every retry";
            Err(Refusal::new(Code::InvalidArgument, reason::IDEMPOTENCY_KEY_MISSING, text)
                .field(IDEMPOTENCY_KEY, "is required"))
        }
        None => Ok(()),
    }
}

fn is_key(key: &[u8]) -> bool {
    (1..=MAX_KEY_BYTES).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn a_key_is_short_and_visible() {
        assert!(is_key(b"0190b2c4-7e1f"));
        assert!(is_key(&[b'k'; 128]));
        for bad in [&b""[..], &[b'k'; 129], b"two words", "schl\u{fc}ssel".as_bytes(), b"tab\t"] {
            assert!(!is_key(bad));
        }
    }
}
