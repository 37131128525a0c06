//! QuotePrice, and orders that are held to a quote.

use stampede_proto::order::v1::promotion_action::Action;
use stampede_proto::order::v1::*;
use tonic::Status;

use crate::promotions::{automatic, eur};
use crate::shop::{Shop, eventually, fact, reason, want};

impl Shop {
    async fn quote(&self, who: &str, lines: &[(&str, &str, u32)]) -> Result<QuotePriceResponse, Status> {
        let message = QuotePriceRequest { lines: want(lines).lines, coupons: Vec::new() };
        let request = self.request(who, "buyer", message);
        self.orders.clone().quote_price(request).await.map(tonic::Response::into_inner)
    }
}

fn held_to(quote: &str, lines: &[(&str, &str, u32)]) -> CreateOrderRequest {
    CreateOrderRequest { quote: quote.into(), ..want(lines) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_with_a_quote_costs_what_was_quoted_and_the_quote_held_nothing() {
    let shop = Shop::open().await;
    shop.promote(automatic("A", Action::PercentOffBp(1_000))).await.unwrap();
    let lines = [("TEE", "FLASH", 1), ("MUG", "", 2)];
    let quote = shop.quote("alice", &lines).await.unwrap();
    assert_eq!((quote.subtotal.clone(), quote.discount.clone()), (Some(eur(1_999)), Some(eur(199))));
    assert_eq!((quote.lines.len(), quote.promotions.len()), (2, 1));
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock"), 0);
    let order = shop.create("alice", "k1", held_to(&quote.quote, &lines)).await.unwrap();
    assert_eq!((order.total, order.lines), (quote.total, quote.lines));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_moved_since_the_quote_is_refused_with_the_difference() {
    let shop = Shop::open().await;
    let lines = [("MUG", "", 1), ("TEE", "", 2)];
    let quote = shop.quote("alice", &lines).await.unwrap();
    shop.warehouse.sells("TEE", 2_500, "EUR");
    // Prices are believed for a second.
    let mut key = 0;
    let answer = eventually("the new price", async || {
        key += 1;
        let answer = shop.create("alice", &format!("k{key}"), held_to(&quote.quote, &lines)).await;
        answer.is_err().then_some(answer)
    })
    .await;
    let facts = ["quoted_total_minor", "total_minor", "changed_lines"].map(|key| fact(&answer, key));
    assert_eq!(facts, ["4498", "5500", "1"]);
    assert_eq!(reason(answer), "PRICE_CHANGED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_that_is_not_for_this_is_refused_with_its_own_reason() {
    let shop = Shop::open().await;
    let lines = [("TEE", "", 1)];
    let quote = shop.quote("alice", &lines).await.unwrap().quote;
    let altered = format!("{}A", &quote[..quote.len() - 1]);
    let cases = [
        ("bob", quote.as_str(), &lines[..], "QUOTE_OTHER_BUYER"),
        ("alice", &quote, &[("TEE", "", 2)], "QUOTE_OTHER_LINES"),
        ("alice", "nonsense", &lines, "QUOTE_INVALID"),
    ];
    for (who, quote, lines, why) in cases {
        assert_eq!(reason(shop.create(who, why, held_to(quote, lines)).await), why);
    }
    let other = CreateOrderRequest { coupons: vec!["SAVE".into()], ..held_to(&quote, &lines) };
    assert_eq!(reason(shop.create("alice", "k1", other).await), "QUOTE_OTHER_LINES");
    if altered != quote {
        assert_eq!(reason(shop.create("alice", "k2", held_to(&altered, &lines)).await), "QUOTE_INVALID");
    }
    assert_eq!(shop.warehouse.trouble.calls("reserve_stock"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_order_is_answered_though_its_quote_has_expired() {
    let shop = Shop::with(|config| config.quote_valid = std::time::Duration::from_secs(2)).await;
    let lines = [("TEE", "", 1)];
    let quote = shop.quote("alice", &lines).await.unwrap().quote;
    let order = shop.create("alice", "k1", held_to(&quote, &lines)).await.unwrap();
    let mut key = 1;
    let late = eventually("the quote expires", async || {
        key += 1;
        shop.create("alice", &format!("k{key}"), held_to(&quote, &lines)).await.err()
    })
    .await;
    assert_eq!(reason(Err::<Order, _>(late)), "QUOTE_EXPIRED");
    assert_eq!(shop.create("alice", "k1", held_to(&quote, &lines)).await.unwrap(), order);
}
