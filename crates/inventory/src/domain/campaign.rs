//! A campaign's state, which is nothing but its window and the time.

use time::OffsetDateTime;

use super::stock::Window;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignState {
    Planned,
    Open,
    Closed,
}

impl Window {
    #[must_use]
    pub fn state(self, now: OffsetDateTime) -> CampaignState {
        if now < self.opens_at {
            CampaignState::Planned
        } else if now < self.closes_at {
            CampaignState::Open
        } else {
            CampaignState::Closed
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    #[test]
    fn a_campaign_sells_from_its_opening_until_just_before_its_close() {
        let opens_at = OffsetDateTime::UNIX_EPOCH;
        let window = Window { opens_at, closes_at: opens_at + Duration::SECOND };
        assert_eq!(window.state(opens_at - Duration::NANOSECOND), CampaignState::Planned);
        assert_eq!(window.state(opens_at), CampaignState::Open);
        assert_eq!(window.state(window.closes_at - Duration::NANOSECOND), CampaignState::Open);
        assert_eq!(window.state(window.closes_at), CampaignState::Closed);
    }
}
