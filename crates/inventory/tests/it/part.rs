//! A part of a hold is sold or kept, once, and the rest can be had by others at once.

use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{
    CommitReservationRequest, ReleaseReservationRequest, Reservation, ReservationLine, ReservationState,
    ReturnStockRequest,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::shop::{Asked, FLASH, Shop, TEE, metadata, reason};

fn lines(lines: &[Asked<'_>]) -> Vec<ReservationLine> {
    let line = |(sku, campaign, quantity): &Asked<'_>| ReservationLine {
        sku_id: (*sku).into(),
        campaign_id: (*campaign).into(),
        quantity: *quantity,
    };
    lines.iter().map(line).collect()
}

async fn commit(shop: &Shop, id: Uuid, sold: &[Asked<'_>]) -> Result<Reservation, Status> {
    let request = CommitReservationRequest { reservation_id: id.to_string(), lines: lines(sold) };
    shop.stock.commit_reservation(Request::new(request)).await.map(Response::into_inner)
}

async fn keep(shop: &Shop, id: Uuid, kept: &[Asked<'_>]) -> Result<Reservation, Status> {
    let request = ReleaseReservationRequest { reservation_id: id.to_string(), keep: lines(kept) };
    shop.stock.release_reservation(Request::new(request)).await.map(Response::into_inner)
}

fn quantities(reservation: &Reservation) -> Vec<(&str, u32)> {
    reservation.lines.iter().map(|line| (line.sku_id.as_str(), line.quantity)).collect()
}

fn field(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
}

/// A campaign of five TEEs, at most four a buyer, and five caps on the shelf; alice holds four TEEs and three caps.
async fn held() -> (Shop, Uuid) {
    let shop = Shop::open().await;
    shop.flash(5, 4).await;
    shop.sku("cap", 5).await;
    let id = Uuid::now_v7();
    shop.reserve(id, "alice", &[(TEE, FLASH, 4), ("cap", "", 3)]).await.unwrap();
    (shop, id)
}

#[tokio::test]
async fn a_part_is_sold_and_the_rest_goes_back_to_stock_gate_and_limit() {
    let (shop, id) = held().await;
    let sold = commit(&shop, id, &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(sold.state(), ReservationState::Committed);
    assert_eq!(quantities(&sold), [(TEE, 1)]);
    assert_eq!(sold.asked.iter().map(|line| line.quantity).collect::<Vec<_>>(), [3, 4]);
    let (tee, cap) = (shop.level(TEE, FLASH).await, shop.level("cap", "").await);
    assert_eq!((tee.free, tee.held, tee.committed), (4, 0, 1));
    assert_eq!((cap.free, cap.held, cap.committed), (5, 0, 0));
    assert_eq!((shop.gate_free(TEE, FLASH).await, shop.gate_free("cap", "").await), (Some(4), Some(5)));
    shop.reconcile().await;

    assert_eq!(commit(&shop, id, &[(TEE, FLASH, 1)]).await.unwrap(), sold, "the same again");
    assert_eq!(commit(&shop, id, &[]).await.unwrap(), sold, "as it ended");
    assert_eq!(reason(commit(&shop, id, &[(TEE, FLASH, 2)]).await), "RESERVATION_CONFLICT");
    assert_eq!(reason(keep(&shop, id, &[(TEE, FLASH, 1)]).await), "RESERVATION_RESOLVED");
    // One of four is used: three more are within the limit, a fifth is not.
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 3)]).await.unwrap();
    assert_eq!(reason(shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await), "BUYER_LIMIT");
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn more_than_is_held_is_refused_with_its_line_and_changes_nothing() {
    let (shop, id) = held().await;
    let before = shop.books().await;
    let refused = commit(&shop, id, &[("cap", "", 1), (TEE, FLASH, 5)]).await.unwrap_err();
    assert_eq!(field(&refused), "lines[1].quantity");
    assert_eq!(reason::<()>(Err(refused)), "INVALID_ARGUMENT");
    let other = commit(&shop, id, &[(TEE, "", 1)]).await.unwrap_err();
    assert_eq!(field(&other), "lines[0].quantity", "it has none from the shelf");
    let more = keep(&shop, id, &[(TEE, FLASH, 5)]).await.unwrap_err();
    assert_eq!(field(&more), "keep[0].quantity");
    assert_eq!(reason(keep(&shop, Uuid::now_v7(), &[(TEE, FLASH, 1)]).await), "RESERVATION_NOT_FOUND");
    assert_eq!(shop.books().await, before);
    assert_eq!(shop.reservation(id).await.unwrap().state(), ReservationState::Pending);
}

#[tokio::test]
async fn what_is_kept_only_shrinks_and_may_be_sold_later() {
    let (shop, id) = held().await;
    let kept = keep(&shop, id, &[(TEE, FLASH, 2), ("cap", "", 3)]).await.unwrap();
    assert_eq!((kept.state(), quantities(&kept)), (ReservationState::Pending, vec![("cap", 3), (TEE, 2)]));
    assert_eq!((shop.level(TEE, FLASH).await.held, shop.gate_free(TEE, FLASH).await), (2, Some(3)));
    assert_eq!(keep(&shop, id, &[(TEE, FLASH, 4), ("cap", "", 3)]).await.unwrap(), kept, "a late repeat");
    let less = keep(&shop, id, &[(TEE, FLASH, 1)]).await.unwrap();
    assert_eq!(quantities(&less), [(TEE, 1)]);
    shop.reconcile().await;
    // Redis forgets, and learns from the ledger what is held now.
    shop.flush().await;
    shop.reserve(Uuid::now_v7(), "bob", &[(TEE, FLASH, 4)]).await.unwrap();

    assert_eq!(
        shop.reserve(id, "alice", &[(TEE, FLASH, 4), ("cap", "", 3)]).await.unwrap(),
        less,
        "the same reservation is what was asked for"
    );
    let sold = shop.commit(id).await.unwrap();
    assert_eq!((sold.state(), quantities(&sold)), (ReservationState::Committed, vec![(TEE, 1)]));
    assert_eq!(shop.level(TEE, FLASH).await.committed, 1);
    shop.reconcile().await;
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn a_shrunk_hold_gives_back_what_it_has_and_no_more() {
    let (shop, id) = held().await;
    keep(&shop, id, &[(TEE, FLASH, 1)]).await.unwrap();
    let gone = keep(&shop, id, &[("cap", "", 1)]).await.unwrap();
    assert_eq!(gone.state(), ReservationState::Released, "of the caps nothing was left to keep");
    assert_eq!((shop.level(TEE, FLASH).await.free, shop.level("cap", "").await.free), (5, 5));
    assert_eq!((shop.gate_free(TEE, FLASH).await, shop.gate_free("cap", "").await), (Some(5), Some(5)));
    let late = keep(&shop, id, &[(TEE, FLASH, 1)]).await.unwrap_err();
    assert_eq!(metadata(&late, "state").as_deref(), Some("RELEASED"));
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 4)]).await.unwrap();
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn returns_count_against_what_was_sold() {
    let (shop, id) = held().await;
    commit(&shop, id, &[(TEE, FLASH, 2)]).await.unwrap();
    let back = async |back: &[Asked<'_>]| {
        let request = ReturnStockRequest {
            reservation_id: id.to_string(),
            return_id: Uuid::now_v7().to_string(),
            lines: lines(back),
        };
        shop.stock.return_stock(Request::new(request)).await
    };
    assert_eq!(reason(back(&[(TEE, FLASH, 3)]).await), "INVALID_ARGUMENT");
    assert_eq!(reason(back(&[("cap", "", 1)]).await), "INVALID_ARGUMENT");
    back(&[(TEE, FLASH, 1)]).await.unwrap();
    back(&[]).await.unwrap();
    assert_eq!(reason(back(&[(TEE, FLASH, 1)]).await), "INVALID_ARGUMENT");
    assert_eq!((shop.level(TEE, FLASH).await.free, shop.gate_free(TEE, FLASH).await), (5, Some(5)));
    shop.movements_make_the_levels().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_sold_kept_and_released_at_once_leave_sound_books() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.flash(120, 120).await;
    let ids: Vec<_> = (0..40).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        shop.reserve(*id, "alice", &[(TEE, FLASH, 3)]).await.unwrap();
    }
    let races = ids.iter().map(|id| {
        let (id, shop) = (*id, shop.clone());
        tokio::spawn(async move {
            let two = [(TEE, FLASH, 2)];
            let (sold, _, _) = tokio::join!(
                commit(&shop, id, &two[..]),
                keep(&shop, id, &[(TEE, FLASH, 2)]),
                shop.release(id)
            );
            sold.is_ok()
        })
    });
    let sold =
        futures::future::join_all(races).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
    let level = shop.level(TEE, FLASH).await;
    assert_eq!((level.held, level.committed), (0, 2 * i64::try_from(sold).unwrap()));
    shop.movements_make_the_levels().await;
    shop.reconcile().await;
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(level.free));
}
