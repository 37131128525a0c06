//! Pipelined reservations: each item is answered as it is decided, a refusal ends nothing, and nobody is read further than
//! the answers allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use stampede_inventory::grpc::{IN_FLIGHT, InventoryApi};
use stampede_kit::clock::Clock;
use stampede_kit::refusal::reason_of;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use stampede_proto::inventory::v1::reserve_stream_response::Outcome;
use stampede_proto::inventory::v1::{
    ReservationLine, ReserveStockRequest, ReserveStreamRequest, ReserveStreamResponse,
};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::process::contract;
use crate::shop::{FLASH, Shop, TEE, eventually};

fn item(id: &str, buyer: &str, sku_id: &str, quantity: u32) -> ReserveStreamRequest {
    let line = ReservationLine { sku_id: sku_id.into(), campaign_id: FLASH.into(), quantity };
    let (reservation_id, buyer_id) = (id.into(), buyer.into());
    let reserve = ReserveStockRequest { reservation_id, buyer_id, lines: vec![line], hold_ms: 0 };
    ReserveStreamRequest { reserve: Some(reserve) }
}

fn id() -> String {
    Uuid::now_v7().to_string()
}

async fn stream<S>(shop: &Shop, items: S) -> Streaming<ReserveStreamResponse>
where
    S: Stream<Item = ReserveStreamRequest> + Send + 'static,
{
    let api = InventoryApi::new(shop.inventory.clone(), Clock::system(), shop.stop.clone(), &contract());
    let mut client = InventoryServiceClient::new(InventoryServiceServer::new(api));
    client.reserve_stream(items).await.unwrap().into_inner()
}

/// Item, id, and the state or the reason with its field.
fn told(answer: &ReserveStreamResponse) -> (i64, String, String) {
    let outcome = match answer.outcome.as_ref().unwrap() {
        Outcome::Reserved(held) => held.state().as_str_name().to_owned(),
        Outcome::Refused(reason) if answer.field.is_empty() => reason.clone(),
        Outcome::Refused(reason) => format!("{reason} {}", answer.field),
    };
    (answer.item, answer.reservation_id.clone(), outcome)
}

async fn held(shop: &Shop) -> i64 {
    shop.level(TEE, FLASH).await.held
}

#[tokio::test]
async fn every_item_has_its_answer_and_a_refusal_ends_nothing() {
    let shop = Shop::open().await;
    shop.flash(3, 2).await;
    let ids: Vec<String> = (0..5).map(|_| id()).collect();
    let mut lines_missing = item(&ids[4], "eve", TEE, 1);
    lines_missing.reserve.as_mut().unwrap().lines.clear();
    let items = vec![
        item(&ids[0], "alice", TEE, 2),
        item("not a uuid", "alice", TEE, 1),
        item(&ids[1], "alice", TEE, 1),
        item(&ids[2], "bob", TEE, 0),
        item(&ids[2], "bob", "nope", 1),
        item(&ids[3], "bob", TEE, 1),
        ReserveStreamRequest { reserve: None },
        lines_missing,
        item(&ids[0], "alice", TEE, 2),
        item(&ids[0], "alice", TEE, 1),
    ];
    let answers: Vec<_> =
        stream(&shop, futures::stream::iter(items)).await.map(|answer| answer.unwrap()).collect().await;
    for answer in &answers {
        let whole = answer
            .status
            .as_ref()
            .map(|status| Status::with_details(Code::Unknown, "", status.encode_to_vec().into()));
        let refused = matches!(answer.outcome, Some(Outcome::Refused(_)));
        assert_eq!(whole.as_ref().and_then(reason_of).is_some(), refused, "a refusal says all it has to say");
    }
    let mut answers: Vec<_> = answers.iter().map(told).collect();
    answers.sort();
    let (pending, id) = ("RESERVATION_STATE_PENDING".to_owned(), |at: usize| ids[at].clone());
    let expected = [
        (1, id(0), pending.clone()),
        (2, "not a uuid".into(), "INVALID_ARGUMENT reservation_id".into()),
        (3, id(1), "BUYER_LIMIT".into()),
        (4, id(2), "INVALID_ARGUMENT lines[0].quantity".into()),
        (5, id(2), "SKU_NOT_FOUND lines[0].sku_id".into()),
        (6, id(3), pending.clone()),
        (7, String::new(), "INVALID_ARGUMENT reserve".into()),
        (8, id(4), "INVALID_ARGUMENT lines".into()),
        (9, id(0), pending),
        (10, id(0), "RESERVATION_CONFLICT".into()),
    ];
    assert_eq!(answers, expected);
    assert_eq!(held(&shop).await, 3);
}

#[tokio::test]
async fn an_item_is_answered_when_it_is_decided_whatever_came_before_it() {
    let shop = Shop::open().await;
    shop.flash(3, 3).await;
    // Somebody holds the row the first item needs.
    let mut tx = shop.database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM stock WHERE pool = $1 FOR UPDATE").bind(FLASH).execute(&mut *tx).await.unwrap();
    let items = [item(&id(), "alice", TEE, 1), item(&id(), "bob", TEE, 0)];
    let mut answers = stream(&shop, futures::stream::iter(items)).await;
    let first = answers.next().await.unwrap().unwrap();
    assert_eq!((first.item, first.field.as_str()), (2, "lines[0].quantity"));
    tx.rollback().await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().item, 1);
    assert!(answers.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_answers_is_read_no_further() {
    const MORE: usize = 5_000;
    let shop = Shop::open().await;
    shop.flash(100_000, 1).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let items = futures::stream::iter(0..MORE).map(move |n| {
        counted.fetch_add(1, Ordering::Relaxed);
        item(&id(), &format!("buyer-{n}"), TEE, 1)
    });
    let mut answers = stream(&shop, items).await;
    let most = |read: usize| i64::try_from(IN_FLIGHT + read).unwrap();
    eventually("as many as may be are decided", async || held(&shop).await == most(0)).await;
    assert!(sent.load(Ordering::Relaxed) < MORE, "the rest waits at the caller");
    for read in 1..=300 {
        answers.next().await.unwrap().unwrap();
        // tonic's encoder takes what is ready, at most 32 KiB: answers it has taken count as read.
        let taken = read + 500;
        assert!(held(&shop).await <= most(taken));
    }
    assert_eq!(answers.count().await, MORE - 300);
    assert_eq!(held(&shop).await, i64::try_from(MORE).unwrap());
}

#[tokio::test]
async fn a_drain_answers_what_was_read_and_then_says_why_it_ends() {
    let shop = Shop::open().await;
    shop.flash(3, 3).await;
    let mut tx = shop.database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM stock WHERE pool = $1 FOR UPDATE").bind(FLASH).execute(&mut *tx).await.unwrap();
    // The second is answered at once, which says that the first has been read too.
    let items = [item(&id(), "alice", TEE, 1), item(&id(), "bob", TEE, 0)];
    let items = futures::stream::iter(items).chain(futures::stream::pending());
    let mut answers = stream(&shop, items).await;
    assert_eq!(answers.next().await.unwrap().unwrap().item, 2);
    shop.stop.cancel();
    tx.rollback().await.unwrap();
    assert_eq!(told(&answers.next().await.unwrap().unwrap()).2, "RESERVATION_STATE_PENDING");
    let end = answers.next().await.unwrap().unwrap_err();
    assert_eq!(reason_of(&end).as_deref(), Some("UNAVAILABLE"));
    assert!(answers.next().await.is_none());
    assert_eq!(held(&shop).await, 1);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_nothing_half_decided() {
    let shop = Shop::open().await;
    shop.flash(50, 1).await;
    let items = (0..50).map(|n| item(&id(), &format!("buyer-{n}"), TEE, 1)).collect::<Vec<_>>();
    let items = futures::stream::iter(items).chain(futures::stream::pending());
    let mut answers = stream(&shop, items).await;
    answers.next().await.unwrap().unwrap();
    drop(answers);
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(shop.level(TEE, FLASH).await.free));
    shop.movements_make_the_levels().await;
}
