//! Updating a SKU: the mask says which fields count, and only what CreateSku would take is taken.

use prost_types::FieldMask;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService as _;
use stampede_proto::inventory::v1::{Sku, UpdateSkuRequest};
use tonic::{Request, Response, Status};

use crate::shop::{Shop, TEE, eur, metadata, reason};

async fn update(shop: &Shop, title: &str, price: Option<Money>, paths: &[&str]) -> Result<Sku, Status> {
    let sku = Sku { sku_id: TEE.into(), title: title.into(), price, created_at: None };
    let paths = paths.iter().map(ToString::to_string).collect();
    let request = UpdateSkuRequest { sku: Some(sku), update_mask: Some(FieldMask { paths }) };
    shop.catalog.update_sku(Request::new(request)).await.map(Response::into_inner)
}

fn field(status: &Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_details_bad_request().unwrap().field_violations[0].field.clone()
}

#[tokio::test]
async fn the_fields_of_the_mask_change_and_no_others() {
    let shop = Shop::open().await;
    let made = shop.sku(TEE, 5).await;
    let renamed = update(&shop, "Tee-shirt", None, &["title"]).await.unwrap();
    assert_eq!(renamed, Sku { title: "Tee-shirt".into(), ..made });
    let priced = update(&shop, "", eur(5), &["price"]).await.unwrap();
    assert_eq!(priced, Sku { price: eur(5), ..renamed });
    let both = update(&shop, "T", eur(6), &[]).await.unwrap();
    assert_eq!(both, Sku { title: "T".into(), price: eur(6), ..priced });
    assert_eq!(update(&shop, "T", eur(6), &["title", "price"]).await.unwrap(), both, "the same again");
    let updates =
        shop.events().await.into_iter().filter(|subject| subject == "inventory.sku_updated").count();
    assert_eq!(updates, 3);
    assert_eq!(shop.level(TEE, "").await.on_hand, 5);
}

#[tokio::test]
async fn an_unknown_path_or_a_broken_value_is_refused_with_its_field() {
    let shop = Shop::open().await;
    let made = shop.sku(TEE, 5).await;
    let bad = [
        (update(&shop, "T", eur(1), &["title", "sku_id"]).await, "update_mask.paths[1]"),
        (update(&shop, "T", eur(1), &["*"]).await, "update_mask.paths[0]"),
        (update(&shop, "", eur(1), &["title"]).await, "sku.title"),
        (update(&shop, "a\0b", eur(1), &["title"]).await, "sku.title"),
        (update(&shop, "T", None, &["price"]).await, "sku.price"),
        (update(&shop, "T", None, &[]).await, "sku.price"),
        (update(&shop, "T", eur(-1), &["price"]).await, "sku.price.amount_minor"),
    ];
    for (refused, named) in bad {
        let refused = refused.unwrap_err();
        assert_eq!(field(&refused), named);
        assert_eq!(reason::<()>(Err(refused)), "INVALID_ARGUMENT");
    }
    let known = shop
        .catalog
        .get_sku(Request::new(stampede_proto::inventory::v1::GetSkuRequest { sku_id: TEE.into() }));
    assert_eq!(known.await.unwrap().into_inner(), made);
    let nobody = Shop::open().await;
    let refused = update(&nobody, "T", eur(1), &[]).await.unwrap_err();
    assert_eq!(metadata(&refused, "field").as_deref(), Some("sku.sku_id"));
    assert_eq!(reason::<()>(Err(refused)), "SKU_NOT_FOUND");
}
