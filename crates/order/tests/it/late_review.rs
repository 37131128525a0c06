//! Late money that cannot be given back has an owner: a person sees it, decides, and until then nobody moves it.

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::order::v1::{
    ListReviewsRequest, Order, OrderState, ResolveReviewRequest, Review, ReviewResolution,
};
use stampede_proto::payment::v1::{PaymentEventKind, PaymentState};
use tonic::Status;
use uuid::Uuid;

use crate::late::expired;
use crate::shop::{Shop, eventually, fact, reason};

impl Shop {
    /// The one review there is, once it is there.
    pub async fn review(&self) -> Review {
        eventually("it waits for a person", async || {
            self.time_to_ask().await;
            self.reviews().await.pop()
        })
        .await
    }

    pub async fn resolve_late(
        &self,
        review: &Review,
        id: Uuid,
        way: ReviewResolution,
    ) -> Result<Order, Status> {
        let message = ResolveReviewRequest {
            order_id: review.order.clone().unwrap().order_id,
            payment_id: review.payment_id.clone(),
            resolution_id: id.to_string(),
            resolution: way.into(),
            note: "talked to the bank".into(),
        };
        let request = self.request("sam", "staff", message);
        self.reviews.clone().resolve_review(request).await.map(tonic::Response::into_inner)
    }

    /// Every payment is looked at once more from now on.
    async fn is_looked_at(&self) {
        let asked = self.bank.trouble.calls("get_payment");
        eventually("it was looked at", async || {
            self.time_to_ask().await;
            (self.bank.trouble.calls("get_payment") > asked + 1).then_some(())
        })
        .await;
    }
}

/// An expired order with late money that the bank refuses to give back for this reason.
async fn stuck(shop: &Shop, why: ErrorReason) -> (Order, Review) {
    let order = expired(shop).await;
    shop.warehouse.sell_out();
    shop.bank.trouble.refuse("refund", why);
    shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    let review = shop.review().await;
    (order, review)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_late_money_whose_refund_is_refused_waits_for_a_person_and_is_given_back() {
    let shop = Shop::open().await;
    let (order, review) = stuck(&shop, ErrorReason::PaymentDeclined).await;
    assert_eq!(review.order.as_ref().unwrap().order_id, order.order_id);
    assert_eq!(
        (review.step.as_str(), review.payment_id.as_str()),
        ("LATE_REFUND", order.payment_id.as_str())
    );
    assert_eq!(review.reason, "it was refused: PAYMENT_DECLINED");
    assert_eq!(review.possible().collect::<Vec<_>>(), [ReviewResolution::Retry, ReviewResolution::StepDone]);
    assert_eq!(shop.get("alice", "buyer", &order).await.unwrap().state(), OrderState::Expired);

    // Whatever changes meanwhile, a person has said nothing: nobody moves the money, and others are told once.
    shop.bank.trouble.mend("refund");
    let asked = shop.bank.trouble.calls("refund");
    shop.is_looked_at().await;
    assert_eq!((shop.bank.trouble.calls("refund"), shop.bank.kept()), (asked, 1_999));
    assert_eq!(shop.told(&order).await, ["order.placed", "order.expired", "order.needs_review"]);

    let id = Uuid::now_v7();
    shop.resolve_late(&review, id, ReviewResolution::Retry).await.unwrap();
    let told = eventually("the buyer is told", async || {
        let order = shop.get("alice", "buyer", &order).await.unwrap();
        (!order.end_reason.is_empty()).then_some(order)
    })
    .await;
    assert_eq!(told.end_reason, "PAID_TOO_LATE");
    assert_eq!((shop.bank.kept(), shop.bank.refunds(), shop.reviews().await.len()), (0, 1, 0));
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.refunded_late"));

    // The same decision again is the same; the same id for another one is refused.
    shop.resolve_late(&review, id, ReviewResolution::Retry).await.unwrap();
    let other = shop.resolve_late(&review, id, ReviewResolution::StepDone).await;
    assert_eq!(reason(other), "REVIEW_CONFLICT");
    let gone = shop.resolve_late(&review, Uuid::now_v7(), ReviewResolution::Retry).await;
    assert_eq!(reason(gone), "REVIEW_NOT_FOUND");
    assert_eq!(shop.count("review_resolution").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_that_is_refused_again_is_back_with_the_person_and_what_he_decided() {
    let shop = Shop::open().await;
    let (_, review) = stuck(&shop, ErrorReason::PaymentDeclined).await;
    shop.resolve_late(&review, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    let again = shop.review().await;
    let decision = &again.decisions[0];
    assert_eq!((decision.step.as_str(), decision.resolution()), ("LATE_REFUND", ReviewResolution::Retry));
    assert_eq!((decision.payment_id.as_str(), decision.actor.as_str()), (review.payment_id.as_str(), "sam"));
    let cancelled = shop.resolve_late(&again, Uuid::now_v7(), ReviewResolution::Cancel).await;
    assert_eq!(fact(&cancelled, "step"), "LATE_REFUND");
    assert_eq!(reason(cancelled), "REVIEW_IMPOSSIBLE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_that_was_given_back_by_hand_is_told_and_not_given_back_again() {
    let shop = Shop::open().await;
    let (order, review) = stuck(&shop, ErrorReason::PaymentDeclined).await;
    shop.bank.trouble.mend("refund");
    let told = shop.resolve_late(&review, Uuid::now_v7(), ReviewResolution::StepDone).await.unwrap();
    assert_eq!((told.state(), told.end_reason.as_str()), (OrderState::Expired, "PAID_TOO_LATE"));
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.refunded_late"));
    assert_eq!((shop.bank.refunds(), shop.count("given_up_payment").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_that_somebody_else_gives_back_waits_for_nobody_any_more() {
    let shop = Shop::open().await;
    let (order, _) = stuck(&shop, ErrorReason::PaymentDeclined).await;
    shop.bank.refund_by_hand();
    eventually("nobody is waited for", async || {
        shop.time_to_ask().await;
        shop.reviews().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.refunded_late"));
    assert_eq!(shop.bank.refunds(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_in_conflict_is_moved_by_nobody_but_a_person() {
    let shop = Shop::open().await;
    let order = expired(&shop).await;
    shop.bank.money_appears(&order.payment_id, PaymentState::Conflicted);
    let review = shop.review().await;
    assert_eq!((review.step.as_str(), review.reason.as_str()), ("LATE_REFUND", "the payment is in conflict"));
    assert_eq!((shop.bank.trouble.calls("refund"), shop.bank.trouble.calls("reserve_stock again")), (0, 0));
    let told = shop.resolve_late(&review, Uuid::now_v7(), ReviewResolution::StepDone).await.unwrap();
    assert_eq!(told.end_reason, "PAID_TOO_LATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_money_that_waits_for_a_person_stops_no_order_from_being_paid_another_way() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    let first = shop.get("alice", "buyer", &order).await.unwrap().payment_id;
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentDeclined);
    shop.bank.money_appears(&first, PaymentState::Captured);
    shop.payment_tells(Uuid::now_v7(), &first, &order, PaymentEventKind::Captured).await;
    let review = shop.review().await;
    let paid = shop.pay("alice", &order, "tok_visa").await.unwrap();
    assert_eq!(paid.state(), OrderState::Confirmed);
    shop.bank.trouble.mend("refund");
    shop.resolve_late(&review, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    eventually("it is back", async || (shop.bank.kept() == 1_999).then_some(())).await;
    // The order is as paid as before.
    eventually("it is told", async || {
        (shop.told(&order).await.last()? == "order.refunded_late").then_some(())
    })
    .await;
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!((after.state(), after.end_reason.as_str()), (OrderState::Confirmed, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_waits_for_more_than_one_reason_and_a_step_of_a_later_program_hides_nothing() {
    let shop = Shop::open().await;
    let (order, _) = stuck(&shop, ErrorReason::PaymentDeclined).await;
    sqlx::query("INSERT INTO saga (order_id, step, parked_at, last_error) VALUES ($1::uuid, 'TELEPORT', now() - interval '1 day', 'lost')")
        .bind(&order.order_id)
        .execute(&shop.database.pool)
        .await
        .unwrap();
    let reviews = shop.reviews().await;
    let steps: Vec<_> = reviews.iter().map(|review| review.step.as_str()).collect();
    assert_eq!(steps, ["TELEPORT", "LATE_REFUND"]);
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    for _ in 0..2 {
        let message = ListReviewsRequest { page_size: 1, page_token };
        let page = shop.reviews.clone().list_reviews(shop.request("sam", "staff", message)).await.unwrap();
        let page = page.into_inner();
        seen.extend(page.reviews.into_iter().map(|review| review.step));
        page_token = page.next_page_token;
    }
    assert_eq!(
        (seen.as_slice(), page_token.as_str()),
        (["TELEPORT", "LATE_REFUND"].map(str::to_owned).as_slice(), "")
    );
    assert!(reviews[0].possible.is_empty());
    let refused = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await;
    assert_eq!(reason(refused), "REVIEW_IMPOSSIBLE");
}
