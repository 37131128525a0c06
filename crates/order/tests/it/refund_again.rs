//! A refund that was refused, or that has come back, is asked for by a person as another one: the first is settled for ever.

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::order::v1::{
    Order, OrderPaymentState, OrderState, ReturnState, Review, ReviewResolution,
};
use stampede_proto::payment::v1::{PaymentEventKind, PaymentState};
use uuid::Uuid;

use crate::parcels::new_id;
use crate::shop::{Shop, eventually, reason};

impl Shop {
    /// A buyer's bank sends back what it was given: it waits for a person, who has it given back once more.
    async fn comes_back_and_goes_again(&self, order: &Order, refunds: usize) {
        self.bank.refunds_come_back();
        self.payment_tells(Uuid::now_v7(), &order.payment_id, order, PaymentEventKind::RefundReversed).await;
        let review = self.review().await;
        assert_eq!(
            (review.step.as_str(), review.reason.as_str()),
            ("LATE_REFUND", "it was refused: what was given back has come back")
        );
        assert_eq!((self.bank.kept(), self.bank.refunds()), (1_999, refunds));
        self.resolve_late(&review, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
        eventually("it is back and told", async || (self.count("given_up_payment").await == 0).then_some(()))
            .await;
        assert_eq!(self.told(order).await.last().map(String::as_str), Some("order.refunded_late"));
        assert_eq!((self.bank.kept(), self.bank.refunds()), (0, refunds + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refund_of_a_cancelled_order_that_comes_back_has_an_owner_each_time() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    let order = shop.cancel("alice", &order).await.unwrap();
    assert_eq!(order.payment_state(), OrderPaymentState::Refunded);
    for refunds in [1, 2] {
        shop.comes_back_and_goes_again(&order, refunds).await;
    }
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!((after.state(), after.end_reason), (OrderState::Cancelled, order.end_reason));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_case_5_late_money_whose_refund_comes_back_is_not_asked_about_for_ever() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    assert_eq!(reason(shop.pay("alice", &order, "tok_declined").await), "PAYMENT_DECLINED");
    let order = shop.cancel("alice", &order).await.unwrap();
    shop.bank.money_appears(&order.payment_id, PaymentState::Captured);
    shop.payment_tells(Uuid::now_v7(), &order.payment_id, &order, PaymentEventKind::Captured).await;
    eventually("it is back", async || (shop.count("given_up_payment").await == 0).then_some(())).await;
    shop.comes_back_and_goes_again(&order, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_whose_refund_was_declined_ends_well_when_a_person_has_it_tried_again() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.bank.trouble.refuse("refund", ErrorReason::PaymentDeclined);
    assert_eq!(reason(shop.cancel("alice", &order).await), "ORDER_STATE");
    let back = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    assert_eq!(back.state(), OrderState::ManualReview);
    shop.bank.trouble.mend("refund");
    let ended = shop.resolve(&order, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
    assert_eq!((ended.state(), ended.payment_state()), (OrderState::Cancelled, OrderPaymentState::Refunded));
    assert_eq!((shop.bank.kept(), shop.bank.refunds()), (0, 1));
}

impl Shop {
    /// A buyer's bank sends back what it was given, and payment says so.
    async fn comes_back(&self, order: &Order) {
        self.bank.refunds_come_back();
        self.payment_tells(Uuid::now_v7(), &order.payment_id, order, PaymentEventKind::RefundReversed).await;
    }

    /// What a person is asked about, who has it given back once more; then so much is kept.
    async fn goes_again(&self, order: &Order, review: &Review, kept: i64) {
        assert_eq!(
            (review.step.as_str(), review.payment_id.as_str()),
            ("LATE_REFUND", order.payment_id.as_str())
        );
        self.resolve_late(review, Uuid::now_v7(), ReviewResolution::Retry).await.unwrap();
        eventually("it is back and told", async || (self.count("given_up_payment").await == 0).then_some(()))
            .await;
        assert_eq!(self.bank.kept(), kept);
        assert_eq!(self.told(order).await.last().map(String::as_str), Some("order.refunded_late"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_comes_back_while_its_order_is_still_being_cancelled_waits_for_a_person_behind_it() {
    let shop = Shop::open().await;
    let order = shop.tee("k1").await;
    shop.pay("alice", &order, "tok_visa").await.unwrap();
    shop.warehouse.trouble.close("return_stock");
    let cancelled = async { shop.cancel("alice", &order).await.unwrap() };
    let comes_back = async {
        eventually("the money is back", async || {
            let seen = shop.get("alice", "buyer", &order).await.unwrap();
            (seen.payment_state() == OrderPaymentState::Refunded).then_some(())
        })
        .await;
        let order = shop.get("alice", "buyer", &order).await.unwrap();
        assert_eq!(order.state(), OrderState::Cancelling);
        shop.comes_back(&order).await;
        eventually("it is heard", async || (shop.count("given_up_payment").await == 1).then_some(())).await;
        // Its saga is under way: nobody is called before that is over.
        let asked = shop.bank.trouble.calls("get_payment");
        eventually("it was looked at", async || {
            shop.time_to_ask().await;
            (shop.bank.trouble.calls("get_payment") > asked + 1).then_some(())
        })
        .await;
        assert_eq!((shop.count("given_up_payment").await, shop.reviews().await.len()), (1, 0));
        shop.warehouse.trouble.open("return_stock");
    };
    let (ended, ()) = tokio::join!(cancelled, comes_back);
    assert_eq!(ended.state(), OrderState::Cancelled);
    let review = shop.review().await;
    shop.goes_again(&ended, &review, 0).await;
    assert_eq!(shop.bank.refunds(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refund_of_a_return_that_comes_back_when_its_order_is_completed_has_an_owner() {
    let shop = Shop::with_return_period(std::time::Duration::from_millis(300)).await;
    let order = shop.delivered("k1", &[("TEE", "", 2), ("MUG", "", 1)]).await;
    shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    let order = shop.reaches(&order, OrderState::Completed).await;
    assert_eq!(shop.bank.kept(), 1_999 + 500);
    shop.comes_back(&order).await;
    let review = shop.review().await;
    assert_eq!(shop.bank.kept(), 2 * 1_999 + 500);
    // Only what came back goes again: the rest is the order's.
    shop.goes_again(&order, &review, 1_999 + 500).await;
    let after = shop.get("alice", "buyer", &order).await.unwrap();
    assert_eq!(
        (after.state(), after.payment_state()),
        (OrderState::Completed, OrderPaymentState::PartiallyRefunded)
    );
    assert_eq!(after.returns[0].state(), ReturnState::Refunded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_was_sent_back_whole_keeps_nothing_of_what_comes_back() {
    let shop = Shop::open().await;
    let order = shop.delivered("k1", &[("TEE", "", 1)]).await;
    shop.sent_back(&order, &new_id(), &[("TEE", "", 1)], true).await;
    for refunds in [2, 3] {
        shop.comes_back(&order).await;
        let review = shop.review().await;
        shop.goes_again(&order, &review, 0).await;
        assert_eq!(shop.bank.refunds(), refunds);
    }
}
