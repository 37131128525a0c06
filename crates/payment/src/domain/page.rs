//! Where a page of the payments that wait ends and the next begins. A token is not a secret and grants nothing.

use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use super::stuck::Reason;

/// Payments on a page when the caller does not say, and the most.
pub const DEFAULT_SIZE: u32 = 50;
pub const MAX_SIZE: u32 = 100;

/// Where a page ends: behind what has waited since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub since: OffsetDateTime,
    pub payment: PaymentId,
    pub reason: Reason,
}

/// The text is no token of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidToken;

impl Place {
    /// As text: an instant in microseconds, an id and a word.
    #[must_use]
    pub fn token(&self) -> String {
        let micros = self.since.unix_timestamp_nanos() / 1_000;
        format!("{micros}.{}.{}", self.payment, self.reason.as_str())
    }

    /// # Errors
    /// The text is no token of this list.
    pub fn parse(token: &str) -> Result<Self, InvalidToken> {
        let mut parts = token.split('.');
        let (Some(micros), Some(payment), Some(reason), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidToken);
        };
        let micros: i64 = micros.parse().map_err(|_| InvalidToken)?;
        let since = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
            .map_err(|_| InvalidToken)?;
        // The store keeps no instant before 4714 BC, and nothing has waited that long.
        if since.year() < 1 {
            return Err(InvalidToken);
        }
        let payment: Uuid = payment.parse().map_err(|_| InvalidToken)?;
        Ok(Self {
            since,
            payment: PaymentId::new(payment),
            reason: reason.parse().map_err(|_| InvalidToken)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_says_where_its_page_ended(micros in 0_i64..=200_000_000_000_000_000, id: u128, at in 0..Reason::ALL.len()) {
            let since = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap();
            let place = Place { since, payment: PaymentId::new(Uuid::from_u128(id)), reason: Reason::ALL[at] };
            prop_assert_eq!(Place::parse(&place.token()), Ok(place));
        }

        #[test]
        fn any_text_is_a_token_or_refused_and_never_a_panic(text in ".{0,80}") {
            let _ = Place::parse(&text);
        }
    }
}
