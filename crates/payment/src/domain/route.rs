//! Going along the route of a payment: which authorisation counts, when the next provider is asked, and what becomes of a hold that
//! a provider left behind turns out to have. No second provider is asked while it is not known what became of the first.

use time::OffsetDateTime;

use super::{Attempt, AttemptState, Event, EventKind, Operation, Payment, Settlement, attempt_id};

/// Classes of a refusal that say "this provider cannot", not "this buyer may not": another one may well say yes. What speaks against
/// the buyer or his card (funds, fraud, a stolen card) is an answer wherever it is given.
const PROVIDER_CANNOT: [&str; 8] = [
    "currency_not_supported",
    "do_not_honour",
    "issuer_unavailable",
    "method_not_supported",
    "processing_error",
    "provider_unavailable",
    "rejected_by_provider",
    "try_again_later",
];

impl Payment {
    /// The same payment with the providers that are asked when the first cannot, in turn.
    #[must_use]
    pub fn falling_back_to(self, fallbacks: &[String]) -> Self {
        Self { fallbacks: fallbacks.to_vec(), ..self }
    }

    /// The authorisation that counts: the one that came furthest along the route. None when nothing was ever asked for.
    #[must_use]
    pub fn authorization(&self) -> Option<&Attempt> {
        let place = |attempt: &&Attempt| {
            self.fallbacks.iter().position(|provider| *provider == attempt.provider).map_or(0, |at| at + 1)
        };
        self.attempts.iter().filter(|attempt| attempt.operation == Operation::Authorize).max_by_key(place)
    }

    /// Who holds the money, or is asked to: captures, voids and refunds go there.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.authorization().map(|attempt| attempt.provider.as_str())
    }

    /// The provider's own name for what it holds, once it has said it.
    #[must_use]
    pub fn hold_at(&self, provider: &str) -> Option<&str> {
        self.asked_at(provider)?.reference.as_deref()
    }

    /// The authorisation that this provider was asked for: no provider is asked twice.
    #[must_use]
    pub fn asked_at(&self, provider: &str) -> Option<&Attempt> {
        let of_it =
            |attempt: &&Attempt| attempt.operation == Operation::Authorize && attempt.provider == provider;
        self.attempts.iter().find(of_it)
    }

    /// Whether it is not known what became of an authorisation there.
    pub(super) fn is_asking(&self, provider: &str) -> bool {
        self.attempts.iter().any(|attempt| attempt.is_asking(provider))
    }

    /// The void that lets go of what counts, while its outcome is not known.
    #[must_use]
    pub fn open_void(&self) -> Option<&Attempt> {
        let holder = self.holder();
        self.attempts.iter().find(|attempt| {
            attempt.operation == Operation::Void
                && attempt.is_open()
                && holder.is_none_or(|holder| holder == attempt.provider)
        })
    }

    /// The next provider's authorisation, when this one was refused for a reason that is the provider's own.
    pub(super) fn begin_fallback(&mut self, refused: &Attempt, decline: &str) -> Option<Attempt> {
        let counts = self.authorization().is_some_and(|attempt| attempt.id == refused.id);
        if !counts || self.void_requested || self.conflict.is_some() || !PROVIDER_CANNOT.contains(&decline) {
            return None;
        }
        let authorizations =
            self.attempts.iter().filter(|attempt| attempt.operation == Operation::Authorize).count();
        let provider = self.fallbacks.get(authorizations.checked_sub(1)?)?;
        let key = attempt_id(self.id, Operation::Authorize, &(authorizations + 1).to_string());
        let next = Attempt::new(key, Operation::Authorize, provider, refused.amount_minor);
        self.attempts.push(next.clone());
        Some(next)
    }

    /// An authorisation after whose refusal another provider was asked.
    pub(super) fn is_left_behind(&self, attempt: &Attempt) -> bool {
        attempt.operation == Operation::Authorize
            && self.authorization().is_some_and(|counts| counts.id != attempt.id)
    }

    /// Whether a refusal of it is a fact already, whatever was heard since.
    pub(super) fn was_declined(&self, attempt: &Attempt) -> bool {
        let declined = Event::id_of(attempt.id, EventKind::Declined);
        self.events.iter().any(|event| event.id == declined)
    }

    pub(super) fn is_as_asked(&self, attempt: &Attempt, amount_minor: i64, currency: &str) -> bool {
        attempt.amount_minor == amount_minor && !self.is_foreign(currency)
    }

    /// A provider that had refused holds the money after all: it is let go there, and the payment goes on where it is.
    pub(super) fn hold_left_behind(
        &mut self,
        index: usize,
        reference: &str,
        at: OffsetDateTime,
    ) -> Settlement {
        let attempt = &mut self.attempts[index];
        attempt.state = AttemptState::Succeeded;
        attempt.reference = Some(reference.to_owned());
        let attempt = attempt.clone();
        let fact = self.add(&attempt, attempt.operation.done(), attempt.amount_minor, at);
        let key = attempt_id(self.id, Operation::Void, &format!("left/{}", attempt.provider));
        let void = Attempt::new(key, Operation::Void, &attempt.provider, attempt.amount_minor);
        self.attempts.push(void.clone());
        Settlement::Settled { facts: vec![fact], follow_up: Some(void) }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
