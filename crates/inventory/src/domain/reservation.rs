//! A reservation and how it ends: PENDING, then once COMMITTED, RELEASED or EXPIRED. Expiry is a question of the clock,
//! never of whether somebody has swept.

use stampede_types::{BuyerId, ReservationId};
use time::{Duration, OffsetDateTime};

use super::stock::{Denied, Line, MovementKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationState {
    Pending,
    Committed,
    Released,
    Expired,
}

impl ReservationState {
    /// The word in the ledger and in metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Committed => "COMMITTED",
            Self::Released => "RELEASED",
            Self::Expired => "EXPIRED",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationKind {
    Hold,
    /// Born COMMITTED.
    Deduction,
    /// Released before it arrived: it never held anything, and a late request with its id is refused.
    Nothing,
}

impl ReservationKind {
    /// The word in the ledger.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "HOLD",
            Self::Deduction => "DEDUCTION",
            Self::Nothing => "NONE",
        }
    }
}

/// What a deduction answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Free units behind it, when it was decided.
    pub remaining: i64,
    /// The movement that recorded it, with all that was deducted in the same transaction.
    pub version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub id: ReservationId,
    pub kind: ReservationKind,
    /// Nobody's when it never held anything.
    pub buyer: Option<BuyerId>,
    pub state: ReservationState,
    /// As it was demanded: summed, in the order of the cells. What a repeated request is compared with.
    pub asked: Vec<Line>,
    /// What it holds or has sold of that, line by line. Never more than was asked.
    pub lines: Vec<Line>,
    /// None for what was never pending.
    pub expires_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
    /// The movement that made it; none when it never held anything.
    pub made_by: Option<i64>,
    /// Deductions only.
    pub receipt: Option<Receipt>,
}

/// How somebody wants a reservation to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    Commit,
    Release,
    Expire,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// This request ended it.
    Now(ReservationState),
    /// It had ended in a way that is as good to whoever asks.
    Before(ReservationState),
    /// It holds less now, and is pending as before.
    Shrunk,
    /// Somebody else won.
    Lost(ReservationState),
}

impl Reservation {
    /// The state by this clock: a hold past its expiry has expired, swept or not.
    #[must_use]
    pub fn state_at(&self, now: OffsetDateTime) -> ReservationState {
        let past = self.expires_at.is_some_and(|expiry| expiry <= now);
        match self.state {
            ReservationState::Pending if past => ReservationState::Expired,
            ReservationState::Pending
            | ReservationState::Committed
            | ReservationState::Released
            | ReservationState::Expired => self.state,
        }
    }

    /// What `resolution` does at `now`. The one decision between paying, cancelling and expiring.
    #[must_use]
    pub fn on(&self, resolution: Resolution, now: OffsetDateTime) -> Resolved {
        use ReservationState::{Committed, Expired, Pending, Released};
        match (resolution, self.state_at(now)) {
            (Resolution::Commit, Pending) => Resolved::Now(Committed),
            (Resolution::Commit, Committed) => Resolved::Before(Committed),
            (Resolution::Commit, lost @ (Released | Expired)) => Resolved::Lost(lost),
            (Resolution::Release, Pending) => Resolved::Now(Released),
            (Resolution::Release, ended @ (Released | Expired)) => Resolved::Before(ended),
            (Resolution::Release, Committed) => Resolved::Lost(Committed),
            (Resolution::Expire, Expired) if self.state == Pending => Resolved::Now(Expired),
            (Resolution::Expire, Expired) => Resolved::Before(Expired),
            (Resolution::Expire, other @ (Pending | Committed | Released)) => Resolved::Lost(other),
        }
    }
}

/// How far from now an expiry may be put off.
pub const EXTEND_AHEAD: Duration = Duration::hours(1);
/// How long after it was made a reservation may expire at the latest, however often it is extended.
pub const EXTEND_IN_ALL: Duration = Duration::hours(24);

impl Reservation {
    /// The new expiry when `until` is later than the present one, none when it changes nothing.
    ///
    /// # Errors
    /// It has ended by this clock, or `until` is above the caps.
    pub fn extended(
        &self,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, Denied> {
        let state = self.state_at(now);
        let (ReservationState::Pending, Some(expiry)) = (state, self.expires_at) else {
            return Err(Denied::Resolved { id: self.id, state });
        };
        if until <= expiry {
            return Ok(None);
        }
        let latest = (now + EXTEND_AHEAD).min(self.created_at + EXTEND_IN_ALL);
        if until > latest { Err(Denied::TooLate { latest }) } else { Ok(Some(until)) }
    }
}

impl Resolution {
    /// The movement it makes of each line.
    #[must_use]
    pub const fn movement(self) -> MovementKind {
        match self {
            Self::Commit => MovementKind::Commit,
            Self::Release => MovementKind::Release,
            Self::Expire => MovementKind::Expire,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn pending(expires_at: OffsetDateTime) -> Reservation {
        Reservation {
            id: ReservationId::new(Uuid::nil()),
            kind: ReservationKind::Hold,
            buyer: None,
            state: ReservationState::Pending,
            asked: Vec::new(),
            lines: Vec::new(),
            expires_at: Some(expires_at),
            created_at: OffsetDateTime::UNIX_EPOCH,
            made_by: None,
            receipt: None,
        }
    }

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn at_the_instant_of_its_expiry_a_hold_can_only_expire() {
        let due = pending(NOW);
        assert_eq!(due.on(Resolution::Commit, NOW), Resolved::Lost(ReservationState::Expired));
        assert_eq!(due.on(Resolution::Release, NOW), Resolved::Before(ReservationState::Expired));
        assert_eq!(due.on(Resolution::Expire, NOW), Resolved::Now(ReservationState::Expired));
    }

    #[test]
    fn a_live_hold_can_be_committed_or_released_and_not_expired() {
        let live = pending(NOW + Duration::MILLISECOND);
        assert_eq!(live.on(Resolution::Commit, NOW), Resolved::Now(ReservationState::Committed));
        assert_eq!(live.on(Resolution::Release, NOW), Resolved::Now(ReservationState::Released));
        assert_eq!(live.on(Resolution::Expire, NOW), Resolved::Lost(ReservationState::Pending));
    }

    #[test]
    fn an_expiry_is_only_put_off_and_only_so_far() {
        let live = pending(NOW + Duration::MINUTE);
        assert_eq!(live.extended(NOW, NOW), Ok(None));
        assert_eq!(live.extended(NOW + Duration::MINUTE, NOW), Ok(None));
        let hour = NOW + EXTEND_AHEAD;
        assert_eq!(live.extended(hour, NOW), Ok(Some(hour)));
        let beyond = live.extended(hour + Duration::NANOSECOND, NOW);
        assert_eq!(beyond, Err(Denied::TooLate { latest: hour }));
        let old =
            Reservation { created_at: NOW - Duration::hours(23) - Duration::minutes(30), ..live.clone() };
        let latest = NOW + Duration::minutes(30);
        assert_eq!(old.extended(hour, NOW), Err(Denied::TooLate { latest }));
        let due = live.extended(hour, NOW + Duration::MINUTE);
        assert_eq!(due, Err(Denied::Resolved { id: live.id, state: ReservationState::Expired }));
    }

    #[test]
    fn what_has_ended_stays_ended_and_the_loser_learns_who_won() {
        let ended = |state| Reservation { state, ..pending(NOW + Duration::HOUR) };
        let on = |state, resolution| ended(state).on(resolution, NOW);
        assert_eq!(
            on(ReservationState::Committed, Resolution::Commit),
            Resolved::Before(ReservationState::Committed)
        );
        assert_eq!(
            on(ReservationState::Committed, Resolution::Release),
            Resolved::Lost(ReservationState::Committed)
        );
        assert_eq!(
            on(ReservationState::Released, Resolution::Commit),
            Resolved::Lost(ReservationState::Released)
        );
        assert_eq!(
            on(ReservationState::Expired, Resolution::Expire),
            Resolved::Before(ReservationState::Expired)
        );
    }
}
