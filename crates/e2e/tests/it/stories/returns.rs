//! Edge case 25: what goes back for a part of what was bought together at a promotion's price, over REST.

use serde_json::json;

use super::fulfil::{ask_back, bought, decide, deliver, is_refunded, new_id, ship, units};
use crate::harness::{SKU, Shop, UNIT_PRICE};

#[tokio::test(flavor = "multi_thread")]
async fn edge_case_25_a_part_of_a_buy_two_get_one_that_comes_back_is_worth_what_was_paid_less_what_is_kept() {
    let shop = Shop::open().await;
    let (alice, sam) = (shop.buyer("alice"), shop.user("sam", "staff"));
    let promotion = json!({ "promotion": {
        "promotionId": "third-free",
        "title": "Three for two",
        "conditions": [{ "skuId": SKU }],
        "action": { "buyXGetY": { "buy": 2, "get": 1 } },
    }});
    sam.post("/v1/promotions", &promotion).await.ok();
    let (order, shipment) = (bought(&alice, 3).await, new_id());
    ship(&sam, &order, &shipment, json!([])).await.ok();
    deliver(&sam, &order, &shipment).await.ok();
    shop.settles(0, 3, 2 * UNIT_PRICE).await;

    // Who keeps two pays for two: the first to come back was the free one. The others are worth their price.
    let mut refunded = 0;
    for (kept, refund) in [(2, 0), (1, UNIT_PRICE), (0, UNIT_PRICE)] {
        let back = new_id();
        ask_back(&alice, &order, &back, units(1)).await.ok();
        decide(&sam, &back, "APPROVED", false).await.unwrap().ok();
        decide(&sam, &back, "RECEIVED", true).await.unwrap().ok();
        let told = is_refunded(&alice, &back).await;
        assert_eq!(told["refund"]["amountMinor"].as_str().unwrap_or("0"), refund.to_string(), "{told}");
        refunded += refund;
        shop.settles(0, kept, 2 * UNIT_PRICE - refunded).await;
    }
    let after = alice.get(&format!("/v1/orders/{order}")).await.ok();
    assert_eq!(after["paymentState"], "ORDER_PAYMENT_STATE_REFUNDED");
    assert_eq!(after["refunded"], after["total"]);
    assert_eq!(ask_back(&alice, &order, &new_id(), units(1)).await.reason(), "QUANTITY_EXCEEDED");
}
