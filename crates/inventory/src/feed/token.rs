//! Resume tokens: where a reader was in which feed, sealed so that nobody makes one up.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::store::feed::Point;

/// Hexadecimal digits: feed, sequence, horizon, seal.
const LENGTH: usize = 32 + 16 + 16 + 32;

/// Makes and checks the tokens of one feed.
#[derive(Clone, Copy)]
pub struct Seal {
    feed_id: Uuid,
    secret: Uuid,
}

impl Seal {
    pub const fn new(feed_id: Uuid, secret: Uuid) -> Self {
        Self { feed_id, secret }
    }

    pub const fn feed_id(&self) -> Uuid {
        self.feed_id
    }

    pub fn token(&self, point: Point) -> String {
        let body = format!("{:032x}{:016x}{:016x}", self.feed_id.as_u128(), point.sequence, point.horizon);
        let seal = self.seal(&body);
        body + &seal
    }

    /// Where the token's reader was; `None` for another feed's and a made-up one.
    pub fn open(&self, token: &str) -> Option<Point> {
        if token.len() != LENGTH || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (body, seal) = token.split_at(LENGTH - 32);
        let number = |from: usize| i64::from_str_radix(&body[from..from + 16], 16).ok();
        let point = Point { sequence: number(32)?, horizon: number(48)? };
        let ours = seal == self.seal(body) && body[..32] == format!("{:032x}", self.feed_id.as_u128());
        ours.then_some(point)
    }

    /// The secret stands on both sides of a text of fixed length, so nothing can be appended to what was sealed.
    fn seal(&self, body: &str) -> String {
        let digest = Sha256::new()
            .chain_update(self.secret)
            .chain_update(body.as_bytes())
            .chain_update(self.secret)
            .finalize();
        digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_where_it_was_sealed_and_only_untouched() {
        let seal = Seal::new(Uuid::from_u128(1), Uuid::from_u128(2));
        let point = Point { sequence: 80, horizon: 600 };
        let token = seal.token(point);
        assert_eq!(seal.open(&token), Some(point));

        assert_eq!(Seal::new(Uuid::from_u128(3), Uuid::from_u128(2)).open(&token), None);
        assert_eq!(Seal::new(Uuid::from_u128(1), Uuid::from_u128(4)).open(&token), None);
        let mut tampered = token.clone();
        tampered.replace_range(40..41, if &token[40..41] == "0" { "1" } else { "0" });
        assert_eq!(seal.open(&tampered), None);
        for broken in ["", "zz", &token[1..], "ä".repeat(48).as_str()] {
            assert_eq!(seal.open(broken), None, "{broken:?}");
        }
    }
}
