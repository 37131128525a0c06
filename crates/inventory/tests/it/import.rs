//! Importing: rows are taken as they come, a bad one is refused alone, and a broken stream goes on where it stopped.

use futures::{Stream, StreamExt as _};
use stampede_inventory::ROWS;
use stampede_inventory::grpc::CatalogApi;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::catalog_service_server::{CatalogService as _, CatalogServiceServer};
use stampede_proto::inventory::v1::{
    GetImportRequest, ImportSkusRequest, ImportSkusResponse, RejectedRow, Sku,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::process::contract;
use crate::shop::{Shop, eur, eventually, reason};

/// What tonic's encoder may have read ahead of the server: 32 KiB of these rows, and more.
const ENCODED: i64 = 1_000;

fn row(number: i64) -> ImportSkusRequest {
    let sku_id = format!("sku-{number}");
    let sku = Sku { sku_id, title: format!("Row {number}"), price: eur(100 + number), created_at: None };
    ImportSkusRequest { sku: Some(sku), on_hand: number % 7, row: number, import_id: String::new() }
}

fn named(id: Uuid, mut rows: Vec<ImportSkusRequest>) -> Vec<ImportSkusRequest> {
    rows[0].import_id = id.to_string();
    rows
}

/// Through tonic's own client and server, without a network between them.
async fn import<S>(shop: &Shop, rows: S) -> Result<ImportSkusResponse, Status>
where
    S: Stream<Item = ImportSkusRequest> + Send + 'static,
{
    let api = CatalogApi::new(shop.inventory.clone(), shop.stop.clone(), &contract());
    let mut client = CatalogServiceClient::new(CatalogServiceServer::new(api));
    client.import_skus(rows).await.map(Response::into_inner)
}

async fn imported(shop: &Shop, id: Uuid) -> Result<ImportSkusResponse, Status> {
    let request = GetImportRequest { import_id: id.to_string() };
    shop.catalog.get_import(Request::new(request)).await.map(Response::into_inner)
}

async fn skus(shop: &Shop) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM sku").fetch_one(&shop.database.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_rows_come_few_wait_in_memory() {
    const ALL: i64 = 200_000;
    let shop = std::sync::Arc::new(Shop::open().await);
    let id = Uuid::now_v7();
    let (shop_of_rows, mut first) = (shop.clone(), row(1));
    first.import_id = id.to_string();
    let rows = futures::stream::iter(2..=ALL).then(move |number| {
        let shop = shop_of_rows.clone();
        async move {
            // Whoever reads this row has taken all others but these few.
            if number % 5_000 == 0 {
                let taken = imported(&shop, id).await.unwrap().last_row;
                assert!(number - taken <= 2 * ROWS as i64 + ENCODED, "{number} were read and {taken} taken");
            }
            row(number)
        }
    });
    let summary = import(&shop, futures::stream::iter([first]).chain(rows)).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected, summary.last_row), (ALL, 0, ALL));
    assert_eq!(skus(&shop).await, ALL);
    assert_eq!(imported(&shop, id).await.unwrap(), summary);
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn bad_rows_are_refused_one_by_one_and_lose_nothing_else() {
    let shop = Shop::open().await;
    shop.sku("sku-3", 1).await;
    let id = Uuid::now_v7();
    let with = |number, change: fn(&mut Sku)| {
        let mut row = row(number);
        change(row.sku.as_mut().unwrap());
        row
    };
    let rows = vec![
        row(1),
        with(2, |sku| sku.price = Some(Money { amount_minor: -1, currency: "EUR".into() })),
        row(3),
        with(4, |sku| sku.price = None),
        with(5, |sku| sku.price = Some(Money { amount_minor: 1, currency: "euro".into() })),
        with(6, |sku| sku.sku_id = "no id".into()),
        with(7, |sku| sku.title = "a\0b".into()),
        ImportSkusRequest { on_hand: -1, ..row(8) },
        ImportSkusRequest { row: 9, ..row(1) },
        ImportSkusRequest { row: 10, on_hand: 6, ..row(1) },
        ImportSkusRequest { sku: None, ..row(11) },
        row(0),
        ImportSkusRequest { row: 5, ..row(12) },
        ImportSkusRequest { import_id: Uuid::now_v7().to_string(), ..row(13) },
        row(14),
    ];
    let summary = import(&shop, futures::stream::iter(named(id, rows))).await.unwrap();
    let told = |r: &RejectedRow| (r.row, r.field.clone(), r.reason.clone());
    let refused: Vec<_> = summary.rejections.iter().map(told).collect();
    let invalid = |row, field: &str| (row, field.to_owned(), "INVALID_ARGUMENT".to_owned());
    let exists = |row| (row, "sku.sku_id".to_owned(), "SKU_EXISTS".to_owned());
    let expected = [
        invalid(2, "sku.price.amount_minor"),
        exists(3),
        invalid(4, "sku.price"),
        invalid(5, "sku.price.currency"),
        invalid(6, "sku.sku_id"),
        invalid(7, "sku.title"),
        invalid(8, "on_hand"),
        exists(10),
        invalid(11, "sku"),
        invalid(0, "row"),
        invalid(5, "row"),
        invalid(13, "import_id"),
    ];
    assert_eq!(refused, expected);
    assert!(summary.rejections.iter().all(|told| !told.description.is_empty()));
    assert_eq!((summary.accepted, summary.rejected, summary.last_row), (3, 12, 14));
    assert_eq!(skus(&shop).await, 3, "rows 1 and 14, and the one that was there");
    assert_eq!(shop.level("sku-1", "").await.on_hand, 1);
    assert_eq!(shop.events().await, ["inventory.sku_created", "inventory.skus_imported"]);
}

#[tokio::test]
async fn the_first_hundred_refusals_are_told_and_all_are_counted() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7();
    let broken = |number| ImportSkusRequest { on_hand: -1, ..row(number) };
    let rows = named(id, (1..=150).map(broken).collect());
    let summary = import(&shop, futures::stream::iter(rows)).await.unwrap();
    assert_eq!((summary.rejected, summary.rejections.len(), summary.last_row), (150, 100, 150));
    assert_eq!(summary.rejections[99].row, 100);
}

#[tokio::test]
async fn a_broken_stream_goes_on_from_its_last_row_and_repeats_nothing() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7();
    let rows = named(id, (1..=2_500).map(row).collect());
    {
        // The caller sends no more and goes away.
        let sending = futures::stream::iter(rows.clone()).chain(futures::stream::pending());
        let mut broken = std::pin::pin!(import(&shop, sending));
        let arrived = eventually("what was sent is taken", async || {
            imported(&shop, id).await.is_ok_and(|progress| progress.last_row == 2_500)
        });
        tokio::select! {
            ended = &mut broken => panic!("{ended:?}"),
            () = arrived => {}
        }
    }
    let mut rest = named(id, (2_000..=4_000).map(row).collect());
    // A row that was taken is passed over, whatever it says now.
    rest[7].on_hand = 6_000;
    let summary = import(&shop, futures::stream::iter(rest)).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected, summary.last_row), (4_000, 0, 4_000));
    assert_eq!(skus(&shop).await, 4_000);
    let again = import(&shop, futures::stream::iter(rows)).await.unwrap();
    assert_eq!(again, summary, "the whole once more changes nothing");
    // Another import of the same rows is idempotent as CreateSku is.
    let other = named(Uuid::now_v7(), (1..=100).map(row).collect());
    assert_eq!(import(&shop, futures::stream::iter(other)).await.unwrap().accepted, 100);
    assert_eq!(skus(&shop).await, 4_000);
    shop.movements_make_the_levels().await;
}

#[tokio::test]
async fn two_streams_of_one_import_take_each_row_once() {
    let shop = Shop::open().await;
    let id = Uuid::now_v7();
    let rows = || futures::stream::iter(named(id, (1..=3_000).map(row).collect()));
    let (one, two) = tokio::join!(import(&shop, rows()), import(&shop, rows()));
    for summary in [one.unwrap(), two.unwrap(), imported(&shop, id).await.unwrap()] {
        assert_eq!((summary.accepted, summary.rejected, summary.last_row), (3_000, 0, 3_000));
    }
    assert_eq!(skus(&shop).await, 3_000);
}

#[tokio::test]
async fn a_row_the_ledger_cannot_take_fails_alone() {
    let shop = Shop::open().await;
    let odd = "ALTER TABLE sku ADD CONSTRAINT nobody_likes_seven CHECK (title <> 'Row 7')";
    sqlx::query(odd).execute(&shop.database.pool).await.unwrap();
    let rows = named(Uuid::now_v7(), (1..=20).map(row).collect());
    let summary = import(&shop, futures::stream::iter(rows)).await.unwrap();
    assert_eq!((summary.accepted, summary.rejected, summary.last_row), (19, 1, 20));
    assert_eq!((summary.rejections[0].row, summary.rejections[0].reason.as_str()), (7, "INTERNAL"));
}

#[tokio::test]
async fn an_import_has_a_name_and_ends_when_the_process_drains() {
    let shop = Shop::open().await;
    let nameless = import(&shop, futures::stream::iter([row(1)])).await;
    assert_eq!(reason(nameless), "INVALID_ARGUMENT");
    assert_eq!(reason(import(&shop, futures::stream::empty()).await), "INVALID_ARGUMENT");
    assert_eq!(reason(imported(&shop, Uuid::now_v7()).await), "IMPORT_NOT_FOUND");

    let id = Uuid::now_v7();
    let rows = futures::stream::iter(named(id, vec![row(1)])).chain(futures::stream::pending());
    let draining = async {
        eventually("the row is taken", async || {
            imported(&shop, id).await.is_ok_and(|progress| progress.last_row == 1)
        })
        .await;
        shop.stop.cancel();
    };
    let (ended, ()) = tokio::join!(import(&shop, rows), draining);
    assert_eq!(reason(ended), "UNAVAILABLE");
    assert_eq!(imported(&shop, id).await.unwrap().accepted, 1);
}
