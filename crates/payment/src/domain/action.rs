//! What a payer has to do at the provider before the money is held (3-D Secure): where, and until when. While he has not done it nothing
//! is held; a session that nobody uses is closed at its end, so that nothing comes of it later.

use time::OffsetDateTime;

use super::{Attempt, AttemptState, Operation, Payment, Settlement, Token};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayerAction {
    /// Where the payer does it. It may open his session: it prints as `***`.
    pub url: Token,
    pub expires_at: OffsetDateTime,
}

impl Payment {
    /// What the payer has to do now, when he has to do anything.
    #[must_use]
    pub fn action(&self) -> Option<&PayerAction> {
        let own = self.open_attempt(Operation::Authorize).and_then(|attempt| attempt.action.as_ref());
        own.or_else(|| self.parts.iter().find_map(Self::action))
    }

    /// The provider waits for the payer. For anything but an authorisation that is no answer.
    pub(super) fn wait_for_payer(
        &mut self,
        index: usize,
        reference: Option<&str>,
        action: &PayerAction,
    ) -> Settlement {
        let attempt = &mut self.attempts[index];
        // Counted like a lost answer: it is asked about less and less often.
        attempt.lost_answers = attempt.lost_answers.saturating_add(1);
        if attempt.operation != Operation::Authorize {
            attempt.state = AttemptState::Lost;
            return Settlement::Lost;
        }
        attempt.state = AttemptState::Action;
        attempt.action = Some(action.clone());
        if let Some(reference) = reference {
            attempt.reference = Some(reference.to_owned());
        }
        Settlement::Waiting
    }
}

impl Attempt {
    /// Whether the payer's time has passed.
    #[must_use]
    pub fn has_run_out(&self, now: OffsetDateTime) -> bool {
        self.action.as_ref().is_some_and(|action| action.expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use stampede_types::{Money, OrderId, PaymentId};
    use time::Duration;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Answer, CaptureMode, Event, Method, MethodKind, State, Terms, VoidPlan};

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn waiting() -> Payment {
        let method = Method { kind: MethodKind::Card, token: Token::new("tok_3ds") };
        let amount = Money::new(100, "EUR".parse().unwrap());
        let terms = Terms {
            order: OrderId::new(Uuid::nil()),
            amount,
            method,
            tenders: Vec::new(),
            capture: CaptureMode::Manual,
        };
        let mut payment = Payment::new(PaymentId::new(Uuid::nil()), terms, "psp", AT);
        let action =
            PayerAction { url: Token::new("https://psp/3ds"), expires_at: AT + Duration::minutes(10) };
        let answer = Answer::Action { reference: Some("auth".into()), action };
        assert_eq!(payment.settle(payment.attempts[0].id, &answer, AT), Settlement::Waiting);
        payment
    }

    fn let_go(payment: &mut Payment, at: OffsetDateTime) -> Vec<Event> {
        assert_eq!(payment.standing().void(), Ok(VoidPlan::Now { amount_minor: 0 }));
        let void = payment.begin_void(0);
        let nothing = Answer::Done {
            reference: "void".into(),
            amount_minor: 0,
            currency: "EUR".into(),
            hold_expires_at: None,
        };
        assert_eq!(payment.settle(void.id, &nothing, at), Settlement::Premature, "it may have been held");
        payment.settle_never_held(void.id, &nothing, at);
        payment.events.clone()
    }

    #[test]
    fn a_payment_that_waits_for_its_payer_holds_nothing_and_goes_on_when_he_has_done_it() {
        let mut payment = waiting();
        assert_eq!((payment.standing().state, payment.events.len()), (State::RequiresAction, 0));
        assert!(payment.standing().capture(None).is_err());
        let url = payment.action().map(|action| action.url.expose().to_owned());
        assert_eq!(url.as_deref(), Some("https://psp/3ds"));
        payment.settle(payment.attempts[0].id, &Answer::Lost, AT);
        assert_eq!(
            payment.standing().state,
            State::RequiresAction,
            "a question that was lost changes nothing"
        );
        let held = Answer::Done {
            reference: "auth".into(),
            amount_minor: 100,
            currency: "EUR".into(),
            hold_expires_at: None,
        };
        payment.settle(payment.attempts[0].id, &held, AT);
        assert_eq!((payment.standing().state, payment.action()), (State::Authorized, None));
    }

    #[test]
    fn a_session_that_is_closed_in_time_is_voided_and_one_that_ran_out_has_expired() {
        for (later, state) in [(Duration::minutes(9), State::Voided), (Duration::minutes(10), State::Expired)]
        {
            let mut payment = waiting();
            let facts = let_go(&mut payment, AT + later);
            assert_eq!((payment.standing().state, payment.amounts().voided_minor), (state, 0), "{facts:?}");
            assert!(payment.attempts.iter().all(|attempt| !attempt.is_open()));
        }
    }

    #[test]
    fn an_action_that_is_told_late_changes_nothing_and_never_prints() {
        let mut payment = waiting();
        let action = payment.action().cloned().unwrap();
        assert!(!format!("{payment:?}").contains("https://psp"));
        let_go(&mut payment, AT);
        let late = Answer::Action { reference: None, action };
        assert_eq!(payment.settle(payment.attempts[0].id, &late, AT), Settlement::Unchanged);
        assert_eq!(payment.standing().state, State::Voided);
    }
}
