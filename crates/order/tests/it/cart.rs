//! Carts: of guests and of buyers, changed by comparing versions, merged once.

use futures::future::join_all;
use stampede_order::store;
use stampede_proto::order::v1::*;
use std::time::Duration;
use tonic::Status;

use crate::shop::{Shop, fact, reason};

impl Shop {
    async fn set(
        &self,
        who: (&str, &str),
        (sku, campaign, quantity): (&str, &str, u32),
        expected_version: Option<i64>,
    ) -> Result<Cart, Status> {
        let (sku_id, campaign_id) = (sku.to_owned(), campaign.to_owned());
        let message = SetCartItemRequest { sku_id, campaign_id, quantity, expected_version };
        let request = self.request(who.0, who.1, message);
        self.carts.clone().set_cart_item(request).await.map(tonic::Response::into_inner)
    }

    async fn cart(&self, who: (&str, &str)) -> Cart {
        let request = self.request(who.0, who.1, GetCartRequest {});
        self.carts.clone().get_cart(request).await.unwrap().into_inner()
    }

    async fn merge(&self, who: (&str, &str), cart: &Cart) -> Result<Cart, Status> {
        let request = self.request(who.0, who.1, MergeCartRequest { guest_cart_id: cart.cart_id.clone() });
        self.carts.clone().merge_cart(request).await.map(tonic::Response::into_inner)
    }
}

const ALICE: (&str, &str) = ("alice", "buyer");
const BOB: (&str, &str) = ("bob", "buyer");
const GUEST: (&str, &str) = ("guest-1", "guest");

fn items(cart: &Cart) -> Vec<(&str, &str, u32)> {
    cart.items.iter().map(|item| (item.sku_id.as_str(), item.campaign_id.as_str(), item.quantity)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_is_set_and_taken_out_and_the_version_counts_changes() {
    let shop = Shop::open().await;
    assert_eq!(shop.cart(ALICE).await, Cart::default());
    shop.set(ALICE, ("TEE", "", 2), Some(0)).await.unwrap();
    shop.set(ALICE, ("TEE", "FLASH", 1), None).await.unwrap();
    let cart = shop.set(ALICE, ("TEE", "", 3), Some(2)).await.unwrap();
    assert_eq!((items(&cart), cart.version), (vec![("TEE", "", 3), ("TEE", "FLASH", 1)], 3));
    let cart = shop.set(ALICE, ("TEE", "", 0), Some(3)).await.unwrap();
    assert_eq!(items(&cart), [("TEE", "FLASH", 1)]);
    assert_eq!(shop.cart(ALICE).await, cart);
    assert_eq!(items(&shop.cart(BOB).await), []);
    assert_eq!(reason(shop.set(ALICE, ("TEE", "", 1), Some(i64::MAX)).await), "CART_VERSION");
    assert_eq!(reason(shop.set(ALICE, ("TEE", "", 1_001), None).await), "INVALID_ARGUMENT");
    assert_eq!(reason(shop.set(ALICE, ("TEE", "shelf", 1), None).await), "INVALID_ARGUMENT");
    assert_eq!(reason(shop.set(("sam", "staff"), ("TEE", "", 1), None).await), "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_writers_who_expect_one_version_one_wins_and_his_repetition_is_answered() {
    let shop = Shop::open().await;
    shop.set(ALICE, ("TEE", "", 1), None).await.unwrap();
    let answers = join_all((2..10).map(|units| shop.set(ALICE, ("TEE", "", units), Some(1)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let won = shop.cart(ALICE).await;
    assert_eq!(won.version, 2);
    let units = won.items[0].quantity;
    assert_eq!(shop.set(ALICE, ("TEE", "", units), Some(1)).await.unwrap(), won);
    let late = shop.set(ALICE, ("TEE", "", units + 1), Some(1)).await;
    assert_eq!(fact(&late, "version"), "2");
    assert_eq!(reason(late), "CART_VERSION");
    assert_eq!(reason(shop.set(BOB, ("TEE", "", 1), Some(7)).await), "CART_VERSION");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_cart_takes_no_other_item_and_still_changes_those_it_has() {
    let shop = Shop::open().await;
    for at in 0..100 {
        shop.set(ALICE, (&format!("S{at}"), "", 1), None).await.unwrap();
    }
    let more = shop.set(ALICE, ("MORE", "", 1), None).await;
    assert_eq!(fact(&more, "limit"), "100");
    assert_eq!(reason(more), "CART_FULL");
    shop.set(ALICE, ("S7", "", 9), None).await.unwrap();
    shop.set(ALICE, ("S8", "", 0), None).await.unwrap();
    shop.set(ALICE, ("MORE", "", 1), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_cart_is_merged_once_and_only_by_whoever_knows_it() {
    let shop = Shop::open().await;
    shop.set(GUEST, ("TEE", "", 999), None).await.unwrap();
    let guest = shop.set(GUEST, ("MUG", "", 1), None).await.unwrap();
    let own = shop.set(ALICE, ("TEE", "", 2), None).await.unwrap();
    assert_eq!(reason(shop.merge(GUEST, &guest).await), "PERMISSION_DENIED");
    // Many times at once is once.
    let answers = join_all((0..8).map(|_| shop.merge(ALICE, &guest))).await;
    for answer in answers {
        let cart = answer.unwrap();
        assert_eq!(items(&cart), [("MUG", "", 1), ("TEE", "", 1_000)]);
        assert_eq!((cart.cart_id, cart.version), (own.cart_id.clone(), own.version + 1));
    }
    assert_eq!(reason(shop.merge(BOB, &guest).await), "CART_NOT_FOUND");
    assert_eq!(reason(shop.merge(BOB, &own).await), "CART_NOT_FOUND");
    // The guest begins again with another cart.
    assert_eq!(shop.cart(GUEST).await, Cart::default());
    let again = shop.set(GUEST, ("TEE", "", 1), None).await.unwrap();
    assert_ne!(again.cart_id, guest.cart_id);
    assert_eq!(items(&shop.merge(BOB, &again).await.unwrap()), [("TEE", "", 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_and_a_buyer_of_one_name_have_two_carts_and_a_guest_buys_nothing() {
    let shop = Shop::open().await;
    shop.set(("alice", "guest"), ("TEE", "", 1), None).await.unwrap();
    assert_eq!(shop.cart(ALICE).await, Cart::default());
    let mut request = shop.request("alice", "guest", crate::shop::want(&[("TEE", "", 1)]));
    request.metadata_mut().insert("idempotency-key", "k1".parse().unwrap());
    assert_eq!(reason(shop.orders.clone().create_order(request).await), "PERMISSION_DENIED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carts_nobody_touched_for_long_are_forgotten_a_few_at_a_time() {
    let shop = Shop::open().await;
    for guest in ["g1", "g2", "g3"] {
        shop.set((guest, "guest"), ("TEE", "", 1), None).await.unwrap();
    }
    shop.set(ALICE, ("TEE", "", 1), None).await.unwrap();
    let db = &shop.database.pool;
    let hour = Duration::from_hours(1);
    assert_eq!(store::carts::prune(db, true, hour, 2).await.unwrap(), 0);
    sqlx::query("UPDATE cart SET updated_at = now() - interval '2 hours'").execute(db).await.unwrap();
    assert_eq!(store::carts::prune(db, true, hour, 2).await.unwrap(), 2);
    assert_eq!(store::carts::prune(db, true, hour, 2).await.unwrap(), 1);
    assert_eq!(shop.count("cart").await, 1);
}
