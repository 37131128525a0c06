//! Asking for a comparison: every difference is told, a dry run changes nothing, one at a time.

use futures::StreamExt as _;
use stampede_inventory::grpc::AuditApi;
use stampede_proto::inventory::v1::audit_service_server::AuditService as _;
use stampede_proto::inventory::v1::reconcile_stock_response::Update;
use stampede_proto::inventory::v1::{ReconcileStockRequest, StockDifferenceKind, StockRemedy};

use crate::audit::{SMALL, key, ledger, lively, redis, rows, sql};
use crate::shop::{FLASH, Shop, TEE, eventually, reason};

/// What a comparison says: its differences as (kind, remedy), and how many cells it has compared.
async fn compared(shop: &Shop, dry_run: bool) -> (Vec<(StockDifferenceKind, StockRemedy)>, u64) {
    let audit = AuditApi::new(shop.inventory.clone(), SMALL, shop.stop.clone());
    let request = tonic::Request::new(ReconcileStockRequest { dry_run });
    let said: Vec<_> = audit.reconcile_stock(request).await.unwrap().into_inner().collect().await;
    let (mut differences, mut cells) = (Vec::new(), 0);
    for message in said {
        match message.unwrap().update.unwrap() {
            Update::Difference(difference) => differences.push((difference.kind(), difference.remedy())),
            Update::Summary(summary) => cells = summary.cells,
        }
    }
    differences.sort();
    (differences, cells)
}

#[tokio::test]
async fn whoever_asks_hears_every_difference_and_a_dry_run_changes_nothing() {
    let shop = lively().await;
    assert_eq!(compared(&shop, true).await, (vec![], 3));
    sql(&shop.database.pool, "UPDATE buyer_quota SET used = used - 1 WHERE buyer_id = 'carol'").await;
    redis(&shop, "HINCRBY", &[&key(&shop, "counters"), b"free", b"-2"]).await;
    let before = (ledger(&shop.database.pool).await, shop.gate_free(TEE, FLASH).await);

    let would = StockRemedy::WouldRepair;
    let wrong = |gate, quota| {
        vec![
            (StockDifferenceKind::GateUnits, gate),
            (StockDifferenceKind::GateQuota, quota),
            (StockDifferenceKind::Quota, StockRemedy::Reported),
        ]
    };
    assert_eq!(compared(&shop, true).await.0, wrong(would, would));
    assert_eq!((ledger(&shop.database.pool).await, shop.gate_free(TEE, FLASH).await), before);
    assert_eq!(rows(&shop).await, vec![], "a dry run writes nothing down");

    // What buyers have used is forgotten when the cell is loaded: either mend may come first.
    let mended = compared(&shop, false).await.0;
    assert!(mended.contains(&(StockDifferenceKind::GateUnits, StockRemedy::Reloaded)), "{mended:?}");
    assert!(mended.contains(&(StockDifferenceKind::Quota, StockRemedy::Reported)), "{mended:?}");
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(13));
    assert_eq!(compared(&shop, true).await.0, vec![(StockDifferenceKind::Quota, StockRemedy::Reported)]);
}

#[tokio::test]
async fn a_second_comparison_is_refused_while_one_is_under_way() {
    let shop = lively().await;
    let audit = AuditApi::new(shop.inventory.clone(), SMALL, shop.stop.clone());
    let ask = || audit.reconcile_stock(tonic::Request::new(ReconcileStockRequest { dry_run: true }));
    let first = ask().await.unwrap();
    assert_eq!(reason(ask().await.map(drop)), "OVERLOADED");
    drop(first);
    eventually("whoever went away is no obstacle", async || ask().await.is_ok()).await;
}
