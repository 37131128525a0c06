//! An expiry is put off while the hold is pending, and never brought forward.

use ::time::{Duration, OffsetDateTime};
use stampede_proto::inventory::v1::inventory_service_server::InventoryService as _;
use stampede_proto::inventory::v1::{ExtendReservationRequest, Reservation, ReservationState};
use stampede_proto::{time, timestamp};
use tonic::{Request, Status};
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, eventually, metadata, reason, reserve};

pub async fn extend(shop: &Shop, id: Uuid, until: OffsetDateTime) -> Result<Reservation, Status> {
    let request =
        ExtendReservationRequest { reservation_id: id.to_string(), expires_at: Some(timestamp(until)) };
    shop.stock.extend_reservation(Request::new(request)).await.map(tonic::Response::into_inner)
}

fn expiry(reservation: &Reservation) -> OffsetDateTime {
    time(reservation.expires_at.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn a_later_time_counts_and_an_earlier_one_changes_nothing() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let id = Uuid::now_v7();
    let held = reserve(&shop.stock, id, "alice", &[(TEE, FLASH, 2)], 60_000).await.unwrap();
    let later = expiry(&held) + Duration::minutes(10);
    let extended = extend(&shop, id, later).await.unwrap();
    assert_eq!(expiry(&extended), later);
    for no_later in [later, expiry(&held), OffsetDateTime::UNIX_EPOCH] {
        assert_eq!(extend(&shop, id, no_later).await.unwrap(), extended);
    }
    assert_eq!(shop.reservation(id).await.unwrap(), extended);
    let again = reserve(&shop.stock, id, "alice", &[(TEE, FLASH, 2)], 60_000).await.unwrap();
    assert_eq!(expiry(&again), later, "the same reservation, extended");
    assert_eq!(shop.level(TEE, FLASH).await.held, 2);
}

#[tokio::test]
async fn an_extended_hold_outlives_its_first_expiry() {
    let shop = Shop::open().await;
    shop.flash(1, 1).await;
    let (kept, lost) = (Uuid::now_v7(), Uuid::now_v7());
    shop.sku("cap", 1).await;
    let held = reserve(&shop.stock, kept, "alice", &[(TEE, FLASH, 1)], 2_000).await.unwrap();
    extend(&shop, kept, expiry(&held) + Duration::minutes(5)).await.unwrap();
    reserve(&shop.stock, lost, "bob", &[("cap", "", 1)], 2_000).await.unwrap();
    eventually("the one that was not extended has expired", async || {
        shop.reservation(lost).await.unwrap().state() == ReservationState::Expired
    })
    .await;
    assert_eq!(shop.inventory.sweep().await.unwrap(), 1);
    assert_eq!(shop.commit(kept).await.unwrap().state(), ReservationState::Committed);
    let late = extend(&shop, lost, OffsetDateTime::now_utc() + Duration::minutes(5)).await.unwrap_err();
    assert_eq!(metadata(&late, "state").as_deref(), Some("EXPIRED"));
    assert_eq!(reason::<()>(Err(late)), "RESERVATION_RESOLVED");
}

#[tokio::test]
async fn what_has_ended_cannot_be_extended_and_nobody_holds_for_ever() {
    let shop = Shop::open().await;
    shop.flash(5, 5).await;
    let (sold, gone, live) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for id in [sold, gone, live] {
        shop.reserve(id, "alice", &[(TEE, FLASH, 1)]).await.unwrap();
    }
    shop.commit(sold).await.unwrap();
    shop.release(gone).await.unwrap();
    let soon = OffsetDateTime::now_utc() + Duration::minutes(30);
    for (id, state) in [(sold, "COMMITTED"), (gone, "RELEASED")] {
        let refused = extend(&shop, id, soon).await.unwrap_err();
        assert_eq!(metadata(&refused, "state").as_deref(), Some(state));
    }
    assert_eq!(reason(extend(&shop, Uuid::now_v7(), soon).await), "RESERVATION_NOT_FOUND");

    let before = shop.reservation(live).await.unwrap();
    let far = extend(&shop, live, OffsetDateTime::now_utc() + Duration::minutes(61)).await.unwrap_err();
    assert!(metadata(&far, "latest").is_some_and(|latest| latest.ends_with('Z')));
    assert_eq!(reason::<()>(Err(far)), "EXPIRY_TOO_LATE");
    assert_eq!(shop.reservation(live).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extending_and_expiring_at_once_has_one_winner() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.flash(30, 30).await;
    let ids: Vec<_> = (0..30).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        reserve(&shop.stock, *id, "alice", &[(TEE, FLASH, 1)], 60).await.unwrap();
    }
    let races = ids.iter().map(|id| {
        let (id, shop) = (*id, shop.clone());
        tokio::spawn(async move {
            let until = OffsetDateTime::now_utc() + Duration::minutes(5);
            let (extended, swept) = tokio::join!(extend(&shop, id, until), shop.inventory.sweep());
            swept.unwrap();
            (id, extended.is_ok())
        })
    });
    let mut kept = 0;
    for raced in futures::future::join_all(races).await {
        let (id, extended) = raced.unwrap();
        let state = shop.reservation(id).await.unwrap().state();
        let wanted = if extended { ReservationState::Pending } else { ReservationState::Expired };
        assert_eq!(state, wanted);
        kept += i64::from(extended);
    }
    eventually("the others are swept", async || {
        shop.inventory.sweep().await.unwrap();
        shop.level(TEE, FLASH).await.held == kept
    })
    .await;
    shop.movements_make_the_levels().await;
}
