//! What a token asks the provider to do wrong, and at which step. It never does it: that is `http`.

use std::time::Duration;

use crate::bank::Kind;

/// What the payer is asked for, when the token names no length.
const ACTION: Duration = Duration::from_secs(600);
/// An outage whose token names no length.
const OUTAGE: Duration = Duration::from_secs(5);
/// Longest misbehaviour a token may ask for.
const LONGEST_MS: u64 = 600_000;

/// One step's behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    Declined(String),
    /// The first of its kind for the payment; another one is good.
    DeclinedOnce(String),
    TimeoutBefore,
    TimeoutAfter,
    Slow(Duration),
    ErrorBefore,
    ErrorAfter,
    /// Everything about the payment is unreachable for this long after its first call.
    Outage(Duration),
    /// How the merchant is told; the step itself is good.
    Webhook(Delivery),
    /// The payer has this long to do something first.
    Action(Duration),
    /// What the payer does fails.
    ActionFails,
    /// What is held lapses this long after it was.
    Hold(Duration),
    /// Tells tokens apart.
    Mark,
}

/// How the merchant is told of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Never,
    Twice,
    /// Before the call is answered.
    Early,
    Late(Duration),
    /// After the next message about the payment.
    Reordered,
    /// One minor unit more than moved.
    WrongAmount,
}

/// The behaviour of `step` for a payment with this source.
pub fn behaviour(source: &str, step: Kind) -> Behaviour {
    directives(source)
        .filter_map(|(at, behaviour)| (at == step).then_some(behaviour))
        .find(|behaviour| {
            !matches!(
                behaviour,
                Behaviour::Outage(_)
                    | Behaviour::Webhook(_)
                    | Behaviour::Action(_)
                    | Behaviour::ActionFails
                    | Behaviour::Hold(_)
                    | Behaviour::Mark
            )
        })
        .unwrap_or(Behaviour::Good)
}

/// How the merchant is told of `step`; once and at once when nothing is said.
pub fn deliveries(source: &str, step: Kind) -> Vec<Delivery> {
    let told = |(at, behaviour)| match behaviour {
        Behaviour::Webhook(delivery) if at == step => Some(delivery),
        Behaviour::Webhook(_)
        | Behaviour::Outage(_)
        | Behaviour::Good
        | Behaviour::Declined(_)
        | Behaviour::DeclinedOnce(_)
        | Behaviour::TimeoutBefore
        | Behaviour::TimeoutAfter
        | Behaviour::Slow(_)
        | Behaviour::ErrorBefore
        | Behaviour::ErrorAfter
        | Behaviour::Action(_)
        | Behaviour::ActionFails
        | Behaviour::Hold(_)
        | Behaviour::Mark => None,
    };
    directives(source).filter_map(told).collect()
}

/// How long everything about the payment is out of reach, when it is.
pub fn outage(source: &str) -> Option<Duration> {
    directives(source).find_map(|(_, behaviour)| match behaviour {
        Behaviour::Outage(length) => Some(length),
        Behaviour::Good
        | Behaviour::Declined(_)
        | Behaviour::DeclinedOnce(_)
        | Behaviour::TimeoutBefore
        | Behaviour::TimeoutAfter
        | Behaviour::Slow(_)
        | Behaviour::ErrorBefore
        | Behaviour::ErrorAfter
        | Behaviour::Webhook(_)
        | Behaviour::Action(_)
        | Behaviour::ActionFails
        | Behaviour::Hold(_)
        | Behaviour::Mark => None,
    })
}

/// How long after the authorisation what is held lapses, when it does by itself.
pub fn hold(source: &str) -> Option<Duration> {
    directives(source).find_map(|(step, behaviour)| match behaviour {
        Behaviour::Hold(length) if step == Kind::Authorization => Some(length),
        Behaviour::Hold(_)
        | Behaviour::Good
        | Behaviour::Declined(_)
        | Behaviour::DeclinedOnce(_)
        | Behaviour::TimeoutBefore
        | Behaviour::TimeoutAfter
        | Behaviour::Slow(_)
        | Behaviour::ErrorBefore
        | Behaviour::ErrorAfter
        | Behaviour::Outage(_)
        | Behaviour::Webhook(_)
        | Behaviour::Action(_)
        | Behaviour::ActionFails
        | Behaviour::Mark => None,
    })
}

/// What the payer has to do before the authorisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    pub within: Duration,
    pub fails: bool,
}

/// What the payer has to do, when he has to do anything.
pub fn action(source: &str) -> Option<Action> {
    let asked: Vec<Behaviour> =
        directives(source).filter(|(at, _)| *at == Kind::Authorization).map(|(_, asked)| asked).collect();
    let fails = asked.contains(&Behaviour::ActionFails);
    let within = asked.iter().find_map(|asked| match asked {
        Behaviour::Action(within) => Some(*within),
        Behaviour::ActionFails => Some(ACTION),
        Behaviour::Good
        | Behaviour::Declined(_)
        | Behaviour::DeclinedOnce(_)
        | Behaviour::TimeoutBefore
        | Behaviour::TimeoutAfter
        | Behaviour::Slow(_)
        | Behaviour::ErrorBefore
        | Behaviour::ErrorAfter
        | Behaviour::Outage(_)
        | Behaviour::Webhook(_)
        | Behaviour::Hold(_)
        | Behaviour::Mark => None,
    })?;
    Some(Action { within, fails })
}

/// What of a token is meant for the provider of this name: `at_b_…` is for `simulator-b` alone, `at_a_…` for `simulator`.
pub fn here(source: &str, name: &str) -> String {
    let Some(script) = source.strip_prefix("tok_") else { return source.to_owned() };
    let place = name.strip_prefix("simulator-").unwrap_or("a");
    let kept: Vec<&str> = script
        .split("__")
        .filter_map(|directive| match directive.strip_prefix("at_") {
            Some(rest) => rest.strip_prefix(place)?.strip_prefix('_'),
            None => Some(directive),
        })
        .collect();
    if kept.is_empty() { "tok_visa".to_owned() } else { format!("tok_{}", kept.join("__")) }
}

/// What of a token is meant for this authorisation and what follows it: `again_…` is for every payment but the first of this token, before
/// all else that the token says.
pub fn turn(source: &str, again: bool) -> String {
    let Some(script) = source.strip_prefix("tok_") else { return source.to_owned() };
    let (later, always): (Vec<&str>, Vec<&str>) =
        script.split("__").partition(|directive| directive.starts_with("again_"));
    let later = later.iter().filter_map(|directive| directive.strip_prefix("again_")).filter(|_| again);
    let kept: Vec<&str> = later.chain(always).collect();
    if kept.is_empty() { "tok_visa".to_owned() } else { format!("tok_{}", kept.join("__")) }
}

fn directives(source: &str) -> impl Iterator<Item = (Kind, Behaviour)> {
    source.strip_prefix("tok_").into_iter().flat_map(|script| script.split("__")).map(|directive| {
        let (step, rest) = step_of(directive);
        (step, parse(rest).unwrap_or_else(|| Behaviour::Declined("invalid_token".to_owned())))
    })
}

fn step_of(directive: &str) -> (Kind, &str) {
    [(Kind::Capture, "capture_"), (Kind::Void, "void_"), (Kind::Refund, "refund_")]
        .into_iter()
        .find_map(|(step, prefix)| Some((step, directive.strip_prefix(prefix)?)))
        .unwrap_or((Kind::Authorization, directive))
}

fn parse(text: &str) -> Option<Behaviour> {
    let length = |text: &str| text.parse().ok().filter(|ms| *ms <= LONGEST_MS).map(Duration::from_millis);
    match text {
        "visa" | "mastercard" | "amex" | "unionpay" => Some(Behaviour::Good),
        "timeout_before" => Some(Behaviour::TimeoutBefore),
        "timeout_after" => Some(Behaviour::TimeoutAfter),
        "error_500_once" => Some(Behaviour::ErrorBefore),
        "error_500_after" => Some(Behaviour::ErrorAfter),
        "outage" => Some(Behaviour::Outage(OUTAGE)),
        "3ds" => Some(Behaviour::Action(ACTION)),
        "3ds_fails" => Some(Behaviour::ActionFails),
        "webhook_never" => Some(Behaviour::Webhook(Delivery::Never)),
        "webhook_twice" => Some(Behaviour::Webhook(Delivery::Twice)),
        "webhook_early" => Some(Behaviour::Webhook(Delivery::Early)),
        "webhook_reordered" => Some(Behaviour::Webhook(Delivery::Reordered)),
        "webhook_wrong_amount" => Some(Behaviour::Webhook(Delivery::WrongAmount)),
        other => {
            if let Some(class) = other.strip_prefix("declined_once_").filter(|class| !class.is_empty()) {
                return Some(Behaviour::DeclinedOnce(class.to_owned()));
            }
            if let Some(class) = other.strip_prefix("declined_").filter(|class| !class.is_empty()) {
                return Some(Behaviour::Declined(class.to_owned()));
            }
            let late = other.strip_prefix("webhook_late_").and_then(length);
            if let Some(late) = late {
                return Some(Behaviour::Webhook(Delivery::Late(late)));
            }
            if other.starts_with("mark_") {
                return Some(Behaviour::Mark);
            }
            if let Some(held) = other.strip_prefix("hold_").and_then(length) {
                return Some(Behaviour::Hold(held));
            }
            if let Some(within) = other.strip_prefix("3ds_").and_then(length) {
                return Some(Behaviour::Action(within));
            }
            let slow = other.strip_prefix("slow_").and_then(length).map(Behaviour::Slow);
            slow.or_else(|| other.strip_prefix("outage_").and_then(length).map(Behaviour::Outage))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_scripts_the_step_it_names_and_no_other() {
        let token = "tok_slow_50__capture_timeout_after__refund_declined_closed_account";
        assert_eq!(behaviour(token, Kind::Authorization), Behaviour::Slow(Duration::from_millis(50)));
        assert_eq!(behaviour(token, Kind::Capture), Behaviour::TimeoutAfter);
        assert_eq!(behaviour(token, Kind::Refund), Behaviour::Declined("closed_account".into()));
        assert_eq!(behaviour(token, Kind::Void), Behaviour::Good);
        let once = behaviour("tok_capture_declined_once_fraud", Kind::Capture);
        assert_eq!(once, Behaviour::DeclinedOnce("fraud".into()));
    }

    #[test]
    fn how_the_merchant_is_told_is_scripted_by_step_and_leaves_the_step_good() {
        let token = "tok_webhook_early__capture_slow_5__capture_webhook_twice__capture_webhook_late_7";
        assert_eq!(behaviour(token, Kind::Authorization), Behaviour::Good);
        assert_eq!(deliveries(token, Kind::Authorization), [Delivery::Early]);
        assert_eq!(behaviour(token, Kind::Capture), Behaviour::Slow(Duration::from_millis(5)));
        let twice_and_late = [Delivery::Twice, Delivery::Late(Duration::from_millis(7))];
        assert_eq!(deliveries(token, Kind::Capture), twice_and_late);
        assert_eq!(deliveries(token, Kind::Refund), []);
    }

    #[test]
    fn an_unknown_token_is_declined_and_a_wallet_session_is_not() {
        assert_eq!(
            behaviour("tok_nonsense", Kind::Authorization),
            Behaviour::Declined("invalid_token".into())
        );
        assert_eq!(behaviour("session-1", Kind::Authorization), Behaviour::Good);
    }

    #[test]
    fn a_directive_for_another_provider_is_not_meant_here() {
        let token = "tok_at_a_declined_issuer_unavailable__at_b_timeout_after__webhook_twice";
        assert_eq!(here(token, "simulator"), "tok_declined_issuer_unavailable__webhook_twice");
        assert_eq!(here(token, "simulator-b"), "tok_timeout_after__webhook_twice");
        assert_eq!(here("tok_at_b_outage", "simulator"), "tok_visa");
        assert_eq!(here("session-1", "simulator"), "session-1");
    }

    #[test]
    fn what_is_said_of_a_later_authorisation_is_for_that_one_and_goes_first() {
        let token = "tok_hold_50__mark_7__again_declined_lost_card__again_hold_900";
        let (first, later) = (turn(token, false), turn(token, true));
        assert_eq!(hold(&first), Some(Duration::from_millis(50)));
        assert_eq!(behaviour(&first, Kind::Authorization), Behaviour::Good);
        assert_eq!(hold(&later), Some(Duration::from_millis(900)));
        assert_eq!(behaviour(&later, Kind::Authorization), Behaviour::Declined("lost_card".into()));
        assert_eq!((turn("tok_again_outage", false).as_str(), turn("s", true).as_str()), ("tok_visa", "s"));
    }

    #[test]
    fn the_payer_is_asked_for_something_beside_what_happens_then() {
        let token = "tok_3ds_250__declined_insufficient_funds";
        assert_eq!(action(token), Some(Action { within: Duration::from_millis(250), fails: false }));
        assert_eq!(behaviour(token, Kind::Authorization), Behaviour::Declined("insufficient_funds".into()));
        assert_eq!(action("tok_3ds_fails"), Some(Action { within: ACTION, fails: true }));
        assert_eq!((action("tok_visa"), behaviour("tok_3ds", Kind::Authorization)), (None, Behaviour::Good));
    }

    #[test]
    fn an_outage_has_its_length_and_leaves_the_steps_as_they_are() {
        assert_eq!(outage("tok_outage_250"), Some(Duration::from_millis(250)));
        assert_eq!(outage("tok_outage"), Some(OUTAGE));
        assert_eq!(outage("tok_visa"), None);
        assert_eq!(behaviour("tok_outage_250", Kind::Authorization), Behaviour::Good);
    }
}
