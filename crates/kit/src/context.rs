//! What a handler may know about the call it serves: peer, caller, deadline, idempotency key. It is read from what the stack
//! put into the request; a handler never parses a header.

use std::time::{Duration, Instant};

use tonic::{Code, Request};

use crate::auth::{Caller, Peer};
use crate::refusal::{Refusal, reason};
use crate::{client, stack};

/// The header of a caller-chosen key that makes a repeated command harmless.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header by which a gRPC client that retries says how often it has tried before (gRFC A6).
pub const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Whether the caller says that it has sent this request before: the first try may have had an effect it has not heard of.
pub fn is_repeated<T>(request: &Request<T>) -> bool {
    let attempts = request.metadata().get(PREVIOUS_ATTEMPTS).and_then(|attempts| attempts.to_str().ok());
    attempts.and_then(|attempts| attempts.parse::<u32>().ok()).is_some_and(|attempts| attempts > 0)
}

/// Facts about one call.
#[derive(Debug, Clone)]
pub struct Context {
    pub caller: Option<Caller>,
    pub peer: Peer,
    pub deadline: Instant,
    pub idempotency_key: Option<String>,
    /// The caller says that it has sent this request before.
    pub repeated: bool,
}

impl Context {
    /// Reads the facts of a call that came through the stack. Without a stack (a handler called directly) the peer is nobody.
    pub fn of<T>(request: &Request<T>) -> Context {
        let extensions = request.extensions();
        let key = request.metadata().get(IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
        Context {
            caller: extensions.get::<Caller>().cloned(),
            peer: extensions.get::<Peer>().cloned().unwrap_or_else(Peer::nobody),
            deadline: extensions
                .get::<stack::Deadline>()
                .map_or_else(|| Instant::now() + client::DEFAULT_DEADLINE, |deadline| deadline.0),
            idempotency_key: key.map(str::to_owned),
            repeated: is_repeated(request),
        }
    }

    /// The user the call is made for; UNAUTHENTICATED when a trusted peer came without one.
    pub fn caller(&self) -> Result<&Caller, Refusal> {
        self.caller.as_ref().ok_or_else(|| {
            Refusal::new(Code::Unauthenticated, reason::TOKEN_MISSING, "this call needs a user's token")
        })
    }

    /// What is left of the deadline; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An outgoing call on the caller's behalf: it carries the caller's token and what is left of the deadline.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = client::request(message, self.remaining());
        if let Some(caller) = &self.caller
            && let Ok(value) = tonic::metadata::MetadataValue::try_from(caller.authorization().as_bytes())
        {
            request.metadata_mut().insert("authorization", value);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_above_zero_says_that_a_call_is_repeated() {
        let is_repeated = |attempts: Option<&str>| {
            let mut request = Request::new(());
            if let Some(attempts) = attempts {
                request.metadata_mut().insert(PREVIOUS_ATTEMPTS, attempts.parse().unwrap());
            }
            is_repeated(&request)
        };
        assert!(is_repeated(Some("1")) && is_repeated(Some("17")));
        for first in [None, Some("0"), Some(""), Some("-1"), Some("often")] {
            assert!(!is_repeated(first), "{first:?}");
        }
    }
}
