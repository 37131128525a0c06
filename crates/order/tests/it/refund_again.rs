//! A refund that was refused, or that has come back, is asked for by a person as another one: the first is settled for ever.

use stampede_proto::common::v1::ErrorReason;
use stampede_proto::order::v1::{Order, OrderPaymentState, OrderState, ReviewResolution};
use stampede_proto::payment::v1::{PaymentEventKind, PaymentState};
use uuid::Uuid;

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
