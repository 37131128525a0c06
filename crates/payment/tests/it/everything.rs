//! All misbehaviours at once, with callers that ask again: in the end everything is known and equals the provider's truth.

use stampede_payment::{Error, Payment, State};
use stampede_types::PaymentId;
use uuid::Uuid;

use crate::bench::{Bench, eur, new_id};

const TOKENS: [&str; 12] = [
    "tok_visa",
    "tok_declined_do_not_honour",
    "tok_timeout_before",
    "tok_timeout_after",
    "tok_slow_1500",
    "tok_error_500_once",
    "tok_error_500_after__capture_timeout_after",
    "tok_outage_800",
    "tok_visa__capture_timeout_before__refund_timeout_after",
    "tok_visa__capture_declined_authorization_expired__void_timeout_after",
    "tok_slow_30__capture_error_500_after__refund_error_500_once",
    "tok_visa__void_timeout_before__refund_declined_closed_account",
];
/// Patience of a caller that repeats its command.
const REPEATS: usize = 12;

#[tokio::test]
async fn all_misbehaviours_at_once_end_equal_to_the_providers_truth() {
    let bench = Bench::start().await;
    let stories = (0..TOKENS.len() * 3).map(async |at| {
        let id = new_id();
        story(&bench, id, TOKENS[at % TOKENS.len()], at % 3).await;
        id
    });
    for id in futures::future::join_all(stories).await {
        bench.until(id, |payment| payment.attempts.iter().all(|attempt| !attempt.is_open())).await;
        let state = bench.payments.get(id).await.unwrap().standing().state;
        assert_ne!(state, State::Conflicted);
        bench.assert_agreed(id).await;
    }
}

/// Authorise, then capture in two parts, refund or void, with every command sent until it is answered.
async fn story(bench: &Bench, id: PaymentId, token: &str, ending: usize) {
    repeat(
        async || bench.authorize(id, 100, token).await,
        |payment| payment.standing().state != State::Unknown,
    )
    .await;
    let (first, second, refund) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    match ending {
        0 => repeat(async || bench.payments.void(id).await, |_| true).await,
        1 => repeat(async || bench.payments.capture(id, first, None).await, |_| true).await,
        _ => {
            repeat(async || bench.payments.capture(id, first, Some(eur(60))).await, |_| true).await;
            repeat(async || bench.payments.capture(id, second, Some(eur(40))).await, |_| true).await;
            repeat(async || bench.payments.refund(id, refund, Some(eur(70))).await, |_| true).await;
        }
    }
}

async fn repeat(command: impl AsyncFn() -> Result<Payment, Error>, enough: impl Fn(&Payment) -> bool) {
    for _ in 0..REPEATS {
        match command().await {
            Ok(payment) if enough(&payment) => return,
            Ok(_) | Err(Error::Unknown) => {}
            Err(Error::Illegal(_) | Error::Exceeded { .. } | Error::Declined(_)) => return,
            Err(
                other @ (Error::NotFound(_)
                | Error::Conflict(_)
                | Error::Invalid { .. }
                | Error::NoProvider
                | Error::UnknownHold
                | Error::Unroutable { .. }
                | Error::Unsigned(_)
                | Error::Unavailable
                | Error::NotStuck
                | Error::Impossible(_)
                | Error::ResolutionReused
                | Error::PageToken
                | Error::Settling(_)
                | Error::Database(_)),
            ) => panic!("{other}"),
        }
    }
}
