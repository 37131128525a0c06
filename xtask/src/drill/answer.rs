//! What a refusal means to a buyer: no for good, ask again, or nothing anybody can act on. Pure.

use std::time::Duration;

use stampede_kit::refusal::reason_of;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Refusals that fit this sale and are final.
const FOR_GOOD: [&str; 3] = ["OUT_OF_STOCK", "BUYER_LIMIT", "RESERVATION_RESOLVED"];
/// Refusals that promise that asking again may help, and have to say when.
const LATER: [&str; 2] = ["UNAVAILABLE", "OVERLOADED"];
/// The call ran out of its time: it may have taken effect.
const TOO_LATE: &str = "DEADLINE_EXCEEDED";
/// How long a buyer waits who was not told when to come back.
const PAUSE: Duration = Duration::from_millis(200);
/// A pause the server asks for is taken at most this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A refusal, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Final.
    No { reason: String },
    /// Nobody knows whether it took effect: ask again with the same id.
    Later { reason: String, after: Duration },
    /// The connection broke; no process said anything.
    Lost,
    /// It breaks the contract: no reason, a reason that does not fit here, or no word on when to come back.
    Unclear(String),
}

pub fn read(status: &Status) -> Refusal {
    let Some(reason) = reason_of(status) else {
        return match is_from_the_wire(status) {
            true => Refusal::Unclear(format!("{:?} without a reason", status.code())),
            false => Refusal::Lost,
        };
    };
    if FOR_GOOD.contains(&reason.as_str()) {
        return Refusal::No { reason };
    }
    if reason == TOO_LATE {
        return Refusal::Later { reason, after: PAUSE };
    }
    if !LATER.contains(&reason.as_str()) {
        return Refusal::Unclear(reason);
    }
    match status.get_details_retry_info().and_then(|info| info.retry_delay) {
        Some(after) => Refusal::Later { reason, after: after.min(LONGEST_PAUSE) },
        // The kit's channel says UNAVAILABLE too when nobody listens; nobody could have said when.
        None if status.code() == Code::Unavailable && !is_from_the_wire(status) => Refusal::Lost,
        None => Refusal::Unclear(format!("{reason} without RetryInfo")),
    }
}

impl Refusal {
    /// How long to wait before asking again; nothing when the answer is final.
    pub fn pause(&self) -> Option<Duration> {
        match self {
            Refusal::No { .. } => None,
            Refusal::Later { after, .. } => Some(*after),
            Refusal::Lost | Refusal::Unclear(_) => Some(PAUSE),
        }
    }
}

/// Whether a server sent it: every HTTP answer of hyper's carries its date.
fn is_from_the_wire(status: &Status) -> bool {
    status.metadata().contains_key("date")
}

#[cfg(test)]
mod tests {
    use stampede_kit::Refusal as Made;

    use super::*;

    fn sent(made: Made) -> Status {
        let mut status = Status::from(made);
        status.metadata_mut().insert("date", "today".parse().unwrap());
        status
    }

    #[test]
    fn a_clear_pause_has_a_reason_and_says_when() {
        let status = sent(Made::unavailable("later").retry_after(Duration::from_millis(250)));
        let after = Duration::from_millis(250);
        assert_eq!(read(&status), Refusal::Later { reason: "UNAVAILABLE".into(), after });
    }

    #[test]
    fn a_pause_without_a_time_or_a_reason_is_unclear() {
        assert_eq!(
            read(&sent(Made::unavailable("later"))),
            Refusal::Unclear("UNAVAILABLE without RetryInfo".into())
        );
        assert_eq!(read(&sent(Made::internal())), Refusal::Unclear("INTERNAL".into()));
        let mut bare = Status::unavailable("h2");
        bare.metadata_mut().insert("date", "today".parse().unwrap());
        assert_eq!(read(&bare), Refusal::Unclear("Unavailable without a reason".into()));
    }

    #[test]
    fn a_refusal_for_good_fits_the_sale() {
        let made = Made::new(Code::FailedPrecondition, "RESERVATION_RESOLVED", "it ended");
        assert_eq!(read(&sent(made)), Refusal::No { reason: "RESERVATION_RESOLVED".into() });
        let alien = Made::new(Code::NotFound, "SKU_NOT_FOUND", "what is that");
        assert_eq!(read(&sent(alien)), Refusal::Unclear("SKU_NOT_FOUND".into()));
    }

    #[test]
    fn a_connection_that_breaks_says_nothing() {
        assert_eq!(read(&Status::unknown("h2 went away")), Refusal::Lost);
        assert_eq!(read(&Made::unavailable("nobody listens").into()), Refusal::Lost);
    }
}
