//! A refusal: the one way this house says no. A gRPC code, a reason word callers may match on, a sentence for people and
//! the standard `google.rpc` details. It never carries internal text: what went wrong inside is logged where it happened.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of every refusal.
pub const DOMAIN: &str = "stampede";

/// Reasons the kit itself gives. They are values of `stampede.common.v1.ErrorReason` without the prefix.
pub mod reason {
    pub const TOKEN_MISSING: &str = "TOKEN_MISSING";
    pub const TOKEN_INVALID: &str = "TOKEN_INVALID";
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    pub const TOKEN_ISSUER: &str = "TOKEN_ISSUER";
    pub const TOKEN_AUDIENCE: &str = "TOKEN_AUDIENCE";
    pub const PEER_UNKNOWN: &str = "PEER_UNKNOWN";
    pub const PEER_NOT_ALLOWED: &str = "PEER_NOT_ALLOWED";
    pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
    pub const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
    pub const IDEMPOTENCY_KEY_MISSING: &str = "IDEMPOTENCY_KEY_MISSING";
    pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
    pub const OVERLOADED: &str = "OVERLOADED";
    pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
    pub const NOT_IMPLEMENTED: &str = "NOT_IMPLEMENTED";
    pub const INTERNAL: &str = "INTERNAL";
    pub const UNAVAILABLE: &str = "UNAVAILABLE";
}

/// A refused call. Build it with [`Refusal::new`], give it details, return `Err(refusal.into())`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    details: Box<Details>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    metadata: HashMap<String, String>,
    fields: Vec<(String, String)>,
    retry_after: Option<Duration>,
    preconditions: Vec<(String, String, String)>,
}

impl Refusal {
    /// `reason` is the stable word of `stampede.common.v1.ErrorReason`; `message` is for people and may change.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, reason, message: message.into(), details: Box::default() }
    }

    /// A fact a program may need: goes to `ErrorInfo.metadata`.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.metadata.insert(key.into(), value.into());
        self
    }

    /// A field that broke a rule, by its proto path (`lines[3].quantity`): goes to `BadRequest`.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, description: impl Into<String>) -> Self {
        self.details.fields.push((path.into(), description.into()));
        self
    }

    /// When trying again makes sense: goes to `RetryInfo`.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.details.retry_after = Some(delay);
        self
    }

    /// A state that forbids the call: goes to `PreconditionFailure`.
    #[must_use]
    pub fn precondition(
        mut self,
        kind: impl Into<String>,
        subject: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        self.details.preconditions.push((kind.into(), subject.into(), description.into()));
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn reason(&self) -> &'static str {
        self.reason
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The fields that broke a rule, in the order they were found.
    pub fn fields(&self) -> &[(String, String)] {
        &self.details.fields
    }

    /// An unexpected failure. Log the cause where it happened; the caller gets no more than this.
    pub fn internal() -> Self {
        Refusal::new(Code::Internal, reason::INTERNAL, "something went wrong on our side")
    }

    /// A part this call needs does not answer; trying again may help.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Refusal::new(Code::Unavailable, reason::UNAVAILABLE, message)
    }

    /// The call took longer than its caller allows.
    pub fn deadline_exceeded() -> Self {
        Refusal::new(Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, "the deadline of the call has passed")
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let Refusal { code, reason, message, details } = refusal;
        let Details { metadata, fields, retry_after, preconditions } = *details;
        let mut out = ErrorDetails::new();
        out.set_error_info(reason, DOMAIN, metadata);
        for (path, description) in fields {
            out.add_bad_request_violation(path, description);
        }
        if retry_after.is_some() {
            out.set_retry_info(retry_after);
        }
        for (kind, subject, description) in preconditions {
            out.add_precondition_failure_violation(kind, subject, description);
        }
        Status::with_error_details(code, message, out)
    }
}

/// The reason word of a status made by [`Refusal`], `None` when it came from elsewhere (a transport, say).
pub fn reason_of(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detail_survives_the_way_to_a_status_and_back() {
        let refusal = Refusal::new(Code::FailedPrecondition, "OUT_OF_STOCK", "nothing left")
            .metadata("sku", "A-1")
            .field("lines[3].quantity", "must be at most 5")
            .retry_after(Duration::from_millis(250))
            .precondition("STATE", "order/7", "is already paid");
        let status = Status::from(refusal);

        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "nothing left");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OUT_OF_STOCK", "stampede"));
        assert_eq!(info.metadata["sku"], "A-1");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "lines[3].quantity");
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(250)));
        assert_eq!(details.precondition_failure().unwrap().violations[0].subject, "order/7");
    }

    #[test]
    fn a_refusal_without_details_says_its_reason_and_nothing_else() {
        let status = Status::from(Refusal::internal());

        assert_eq!(reason_of(&status).as_deref(), Some("INTERNAL"));
        assert!(status.get_error_details().bad_request().is_none());
        assert!(status.get_error_details().retry_info().is_none());
    }

    #[test]
    fn a_status_from_elsewhere_has_no_reason() {
        assert_eq!(reason_of(&Status::unknown("h2 went away")), None);
    }
}
