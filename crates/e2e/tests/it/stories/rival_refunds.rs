//! Two processes of the payment service give the same money back at once.

use std::time::Duration;

use stampede_kit::client::Channel;
use stampede_kit::refusal::reason_of;
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::payment_service_client::PaymentServiceClient;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CaptureMode, CardToken, Payment, PaymentMethod, PaymentState,
    RefundPaymentRequest, payment_method,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;
use xtask::books::check;
use xtask::token::Role;

use crate::harness::stage::{Bearer, Stage, request};

const WITHIN: Duration = Duration::from_secs(20);
/// Payments that are refunded by both at once.
const ROUNDS: usize = 24;
/// What the provider does meanwhile: both refunds meet at the books and not at the provider, however long it takes.
const CARDS: [&str; 3] = ["tok_visa", "tok_visa__refund_slow_20", "tok_visa__refund_slow_100"];

fn eur(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "EUR".into() })
}

/// A payment of one hundred that is captured whole.
async fn captured(payments: &PaymentServiceClient<Channel>, staff: &Bearer, card: &str) -> Payment {
    let message = AuthorizePaymentRequest {
        payment_id: Uuid::now_v7().to_string(),
        order_id: Uuid::now_v7().to_string(),
        amount: eur(100),
        method: Some(PaymentMethod {
            method: Some(payment_method::Method::Card(CardToken { token: card.into() })),
        }),
        capture: CaptureMode::Automatic.into(),
    };
    let payment = payments.clone().authorize_payment(request(staff, message, WITHIN)).await.unwrap();
    let payment = payment.into_inner();
    assert_eq!(payment.state(), PaymentState::Captured);
    payment
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_7_of_sixty_and_sixty_of_one_hundred_by_two_processes_exactly_one_is_given_back() {
    // A provider that is slow on a busy machine is still heard: no answer is lost here.
    let settings = [("payment", "psp.timeout_ms", "10000")];
    let stage = Stage::open(&["psp-simulator", "payment"], &[("payment", 2)], &settings);
    let names = stage.names_of("payment");
    assert_eq!(names.len(), 2, "{names:?}");
    let rivals: Vec<_> = names.iter().map(|name| PaymentServiceClient::new(stage.channel(name))).collect();
    let staff = stage.bearer("sam", Role::Staff);
    let psp = stage.stack.lock().unwrap().address("psp-simulator").unwrap();
    let refund = async |process: usize, payment_id: String| {
        let message =
            RefundPaymentRequest { payment_id, refund_id: Uuid::now_v7().to_string(), amount: eur(60) };
        rivals[process].clone().refund_payment(request(&staff, message, WITHIN)).await
    };
    for round in 0..ROUNDS {
        let id = captured(&rivals[round % 2], &staff, CARDS[round % CARDS.len()]).await.payment_id;
        // Who is asked first differs from round to round.
        let (first, second) = (round % 2, (round + 1) % 2);
        let (one, two) = tokio::join!(refund(first, id.clone()), refund(second, id.clone()));
        let refused = match (one, two) {
            (Ok(given), Err(status)) | (Err(status), Ok(given)) => {
                let refunded = given.into_inner().refunded.map(|refunded| refunded.amount_minor);
                assert_eq!(refunded, Some(60), "round {round}");
                status
            }
            both @ ((Ok(_), Ok(_)) | (Err(_), Err(_))) => panic!("round {round}: {both:?}"),
        };
        assert_eq!(reason_of(&refused).as_deref(), Some("AMOUNT_EXCEEDED"), "round {round}: {refused:?}");
        // The rule has refused it, and not only the database behind the rule.
        let left = refused.get_details_error_info().and_then(|info| info.metadata.get("left_minor").cloned());
        assert_eq!(left.as_deref(), Some("40"), "round {round}");
        let truth = reqwest::get(format!("http://{psp}/v1/truth/{id}")).await.unwrap();
        let truth: serde_json::Value = truth.json().await.unwrap();
        assert_eq!((&truth["refunded_minor"], &truth["refunds"]), (&60.into(), &1.into()), "round {round}");
        assert_eq!(truth["declines"], 0, "round {round}: the provider was asked for the second one too");
    }
    let database = stage.database("payment").await;
    let found = check::differences(&mut database.acquire().await.unwrap()).await.unwrap();
    assert_eq!(found, []);
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM payment_intent WHERE (captured_minor, refunded_minor, refund_pending_minor) <> (100, 60, 0)",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
}
