//! A payment that is captured in parts over a longer time than a hold lasts: a whole whose parts are the holds that follow each other, each
//! for what was not taken of the one before. At most one of them holds or is asked for at a time.

use time::OffsetDateTime;

use super::Payment;

impl Payment {
    /// Until when what it holds is held; None when it holds nothing, or its provider does not say.
    #[must_use]
    pub fn hold_expires_at(&self) -> Option<OffsetDateTime> {
        match self.parts.is_empty() {
            true => self.authorization().filter(|hold| self.held_at(&hold.provider) > 0)?.hold_expires_at,
            false => self.parts.iter().filter_map(Self::hold_expires_at).min(),
        }
    }
}
