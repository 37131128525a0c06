//! What waits for a person is seen, resolved once, and ends well; who decided is kept.

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::order::v1::{
    ListReviewsRequest, Order, OrderPaymentState, OrderState, OrderStockState, ResolveReviewRequest, Review,
    ReviewResolution,
};
use tonic::Status;
use uuid::Uuid;

use crate::shop::{Shop, eventually, fact, reason};

impl Shop {
    pub async fn reviews(&self) -> Vec<Review> {
        let request = self.request("sam", "staff", ListReviewsRequest::default());
        self.reviews.clone().list_reviews(request).await.unwrap().into_inner().reviews
    }

    pub async fn resolve(&self, order: &Order, id: Uuid, way: ReviewResolution) -> Result<Order, Status> {
        self.resolve_as("staff", order, id, way).await
    }

    async fn resolve_as(
        &self,
        role: &str,
        order: &Order,
        id: Uuid,
        way: ReviewResolution,
    ) -> Result<Order, Status> {
        let message = ResolveReviewRequest {
            order_id: order.order_id.clone(),
            resolution_id: id.to_string(),
            resolution: way.into(),
            note: "talked to the bank".into(),
            payment_id: String::new(),
        };
        let request = self.request("sam", role, message);
        self.reviews.clone().resolve_review(request).await.map(tonic::Response::into_inner)
    }
}

/// A paid order whose refund the bank refuses for a reason that asking again does not change.
async fn stuck_refund(shop: &Shop) -> Order {
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentConflict);
    assert_eq!(reason(shop.cancel("alice", &order).await), "ORDER_STATE");
    order
}

/// An order whose stock is committed and whose capture the bank refuses so.
async fn stuck_capture(shop: &Shop) -> Order {
    let order = shop.tee("k1").await;
    shop.bank.trouble.refuse("capture", ErrorReason::PaymentConflict);
    assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_STATE");
    order
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_in_review_is_listed_with_its_reason_and_tried_again_until_it_ends_well() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    let reviews = shop.reviews().await;
    assert_eq!(reviews.len(), 1);
    let review = &reviews[0];
    assert_eq!(review.order.as_ref().unwrap().order_id, order.order_id);
    assert_eq!(
        (review.step.as_str(), review.reason.as_str()),
        ("REFUND", "REFUND was refused: PAYMENT_CONFLICT")
    );
    assert!(review.since.is_some());
    let possible: Vec<_> = review.possible().collect();
    assert_eq!(possible, [ReviewResolution::Retry, ReviewResolution::StepDone]);

    // Still refused: it is back, and what was decided is told with it.
    let back = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    assert_eq!(back.state(), OrderState::ManualReview);
    let reviews = shop.reviews().await;
    let decision = &reviews[0].decisions[0];
    assert_eq!((decision.actor.as_str(), decision.note.as_str()), ("sam", "talked to the bank"));
    assert_eq!((decision.resolution(), decision.step.as_str()), (ReviewResolution::Retry, "REFUND"));

    shop.bank.trouble.mend("refund");
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    assert_eq!(
        (ended.state(), ended.payment_state(), ended.stock_state()),
        (OrderState::Cancelled, OrderPaymentState::Refunded, OrderStockState::Returned)
    );
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returns()), (1, 0, 1));
    assert_eq!((shop.reviews().await.len(), shop.count("saga").await), (0, 0));
    assert_eq!(
        shop.told(&order).await,
        ["order.placed", "order.confirmed", "order.needs_review", "order.needs_review", "order.cancelled"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_undone_by_hand_is_passed_over() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::StepDone).await.unwrap();
    assert_eq!((ended.state(), ended.stock_state()), (OrderState::Cancelled, OrderStockState::Returned));
    assert_eq!((shop.bank.refunds(), shop.warehouse.returns()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_cannot_be_captured_is_cancelled_with_its_money_and_stock() {
    let shop = Shop::open().await;
    let order = stuck_capture(&shop).await;
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Cancel).await.unwrap();
    assert_eq!(
        (ended.state(), ended.payment_state(), ended.stock_state()),
        (OrderState::Cancelled, OrderPaymentState::Voided, OrderStockState::Returned)
    );
    assert_eq!((shop.bank.kept(), shop.warehouse.returns()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_confirmed_by_a_person_only_when_the_bank_has_its_money() {
    let shop = Shop::open().await;
    let order = stuck_capture(&shop).await;
    let id = Uuid::now_v7();
    let refused = shop.resolve(&order, id, ReviewResolution::Confirm).await;
    assert_eq!(fact(&refused, "fact"), "payment has not captured all of the money");
    assert_eq!(reason(refused), "REVIEW_IMPOSSIBLE");
    assert_eq!(shop.count("review_resolution").await, 0);

    shop.bank.capture_by_hand();
    let confirmed = shop.resolve(&order, id, ReviewResolution::Confirm).await.unwrap();
    assert_eq!(
        (confirmed.state(), confirmed.payment_state(), confirmed.stock_state()),
        (OrderState::Confirmed, OrderPaymentState::Paid, OrderStockState::Committed)
    );
    assert_eq!((shop.reviews().await.len(), shop.count("saga").await), (0, 0));
    assert_eq!(shop.told(&order).await.last().map(String::as_str), Some("order.confirmed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_an_order_whose_money_was_captured_meanwhile_gives_it_back() {
    let shop = Shop::open().await;
    let order = stuck_capture(&shop).await;
    shop.bank.capture_by_hand();
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Cancel).await.unwrap();
    assert_eq!((ended.state(), ended.payment_state()), (OrderState::Cancelled, OrderPaymentState::Refunded));
    assert_eq!((shop.bank.refunds(), shop.bank.kept(), shop.warehouse.returns()), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_decision_twice_is_one_and_another_under_its_id_is_refused() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    shop.bank.trouble.mend("refund");
    let id = Uuid::now_v7();
    let retry = || shop.resolve(&order, id, ReviewResolution::Retry);
    let (one, two) = tokio::join!(retry(), retry());
    assert_eq!(one.unwrap().state(), OrderState::Cancelled);
    assert_eq!(two.unwrap().state(), OrderState::Cancelled);
    assert_eq!(retry().await.unwrap().state(), OrderState::Cancelled);
    assert_eq!((shop.count("review_resolution").await, shop.bank.refunds()), (1, 1));
    let other = shop.resolve(&order, id, ReviewResolution::StepDone).await;
    assert_eq!(reason(other), "REVIEW_CONFLICT");
    let late = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await;
    assert_eq!(reason(late), "REVIEW_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_staff_decides_and_an_auditor_only_looks() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    for role in ["buyer", "auditor"] {
        let refused = shop.resolve_as(role, &order, Uuid::now_v7(), ReviewResolution::StepDone).await;
        assert_eq!(reason(refused), "PERMISSION_DENIED", "{role}");
    }
    let asked = shop.request("ann", "auditor", ListReviewsRequest::default());
    assert_eq!(shop.reviews.clone().list_reviews(asked).await.unwrap().into_inner().reviews.len(), 1);
    let asked = shop.request("alice", "buyer", ListReviewsRequest::default());
    assert_eq!(reason(shop.reviews.clone().list_reviews(asked).await), "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_never_changed_or_forgotten() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    for statement in [
        "UPDATE review_resolution SET note = 'x'",
        "DELETE FROM review_resolution",
        "TRUNCATE review_resolution",
    ] {
        let refused = sqlx::query(statement).execute(&shop.database.pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviews_come_in_pages_those_that_have_waited_longest_first() {
    let shop = Shop::open().await;
    shop.bank.trouble.refuse("capture", ErrorReason::PaymentConflict);
    let mut waiting = Vec::new();
    for key in ["k1", "k2", "k3"] {
        let order = shop.tee(key).await;
        assert_eq!(reason(shop.pay("alice", &order, "tok_visa").await), "ORDER_STATE");
        waiting.push(order.order_id);
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListReviewsRequest { page_size: 2, page_token };
        let page = shop
            .reviews
            .clone()
            .list_reviews(shop.request("sam", "staff", request))
            .await
            .unwrap()
            .into_inner();
        assert!(page.reviews.len() <= 2);
        seen.extend(page.reviews.into_iter().map(|review| review.order.unwrap().order_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, waiting);
    let wrong = ListReviewsRequest { page_size: 2, page_token: "7".into() };
    let refused = shop.reviews.clone().list_reviews(shop.request("sam", "staff", wrong)).await;
    assert_eq!(reason(refused), "PAGE_TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peers_outage_longer_than_any_number_of_tries_leaves_no_order_to_a_person() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.refuse("capture", ErrorReason::Unavailable);
    let paying = shop.pay("alice", &order, "tok_visa");
    let ending = async {
        eventually("the capture was tried", async || (shop.bank.trouble.calls("capture") > 0).then_some(()))
            .await;
        // As if it had been tried for days.
        for _ in 0..3 {
            sqlx::query(
                "UPDATE saga SET attempt = 5000, next_at = now(), created_at = now() - interval '9 days'",
            )
            .execute(&shop.database.pool)
            .await
            .unwrap();
            let before = shop.bank.trouble.calls("capture");
            eventually("it is tried again", async || {
                (shop.bank.trouble.calls("capture") > before).then_some(())
            })
            .await;
        }
        shop.bank.trouble.mend("capture");
        sqlx::query("UPDATE saga SET next_at = now()").execute(&shop.database.pool).await.unwrap();
    };
    let _ = tokio::join!(paying, ending);
    shop.reaches(&order, OrderState::Confirmed).await;
    assert_eq!(shop.count("review_resolution").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_stays_unknown_is_for_a_person_after_its_time_and_not_before() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.bank.trouble.refuse("capture", ErrorReason::PaymentUnknown);
    let paying = shop.pay("alice", &order, "tok_visa");
    let ageing = async {
        for (age, parked) in [("25 hours", 0), ("27 hours", 1)] {
            eventually("it is not known", async || {
                let aged = sqlx::query("UPDATE saga SET unknown_since = now() - $1::interval, next_at = now() WHERE unknown_since IS NOT NULL AND claim IS NULL")
                    .bind(sqlx::postgres::types::PgInterval::try_from(std::time::Duration::from_hours(age[..2].parse().unwrap())).unwrap())
                    .execute(&shop.database.pool)
                    .await
                    .unwrap();
                (aged.rows_affected() == 1).then_some(())
            })
            .await;
            let before = shop.bank.trouble.calls("capture");
            eventually("it is asked again", async || {
                (shop.bank.trouble.calls("capture") > before).then_some(())
            })
            .await;
            eventually("and decided", async || (shop.reviews().await.len() == parked).then_some(())).await;
        }
    };
    let (_, ()) = tokio::join!(paying, ageing);
    assert_eq!(shop.reviews().await[0].reason, "CAPTURE was not known after 26 hours: PAYMENT_UNKNOWN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_decision_that_comes_many_times_at_once_is_one_and_refused_to_nobody() {
    let shop = Shop::open().await;
    let order = stuck_refund(&shop).await;
    let id = Uuid::now_v7();
    let answers =
        futures::future::join_all((0..8).map(|_| shop.resolve(&order, id, ReviewResolution::Retry))).await;
    // It is still refused, and so back in review while some of them are on their way.
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(shop.count("review_resolution").await, 1);
}
