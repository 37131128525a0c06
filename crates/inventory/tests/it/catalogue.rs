//! SKUs and campaigns.

use stampede_proto::inventory::v1::campaign_service_server::CampaignService as _;
use stampede_proto::inventory::v1::catalog_service_server::CatalogService as _;
use stampede_proto::inventory::v1::{
    BatchGetSkusRequest, CampaignState, CreateSkuRequest, GetCampaignRequest, GetSkuRequest,
    ListCampaignsRequest, ListSkusRequest,
};
use tonic::Request;
use uuid::Uuid;

use crate::shop::{FLASH, Shop, TEE, campaign, eur, metadata, reason};

#[tokio::test]
async fn the_same_sku_again_is_the_same_and_other_content_is_refused() {
    let shop = Shop::open().await;
    let made = shop.sku(TEE, 5).await;
    let create = async |title: &str, amount, on_hand| {
        let sku = stampede_proto::inventory::v1::Sku {
            title: title.into(),
            price: eur(amount),
            created_at: None,
            ..made.clone()
        };
        shop.catalog.create_sku(Request::new(CreateSkuRequest { sku: Some(sku), on_hand })).await
    };
    assert_eq!(create("TEE", 1_999, 5).await.unwrap().into_inner(), made);
    for (title, amount, on_hand) in [("Tee", 1_999, 5), ("TEE", 2_000, 5), ("TEE", 1_999, 6)] {
        assert_eq!(reason(create(title, amount, on_hand).await), "SKU_EXISTS");
    }
    assert_eq!(shop.level(TEE, "").await.on_hand, 5);
    assert_eq!(shop.events().await, ["inventory.sku_created"]);
}

#[tokio::test]
async fn skus_are_read_one_by_one_together_and_in_pages() {
    let shop = Shop::open().await;
    for sku in ["a", "b", "c"] {
        shop.sku(sku, 1).await;
    }
    let get = |sku: &str| shop.catalog.get_sku(Request::new(GetSkuRequest { sku_id: sku.into() }));
    assert_eq!(get("b").await.unwrap().into_inner().title, "B");
    assert_eq!(reason(get("nope").await), "SKU_NOT_FOUND");
    let request = BatchGetSkusRequest { sku_ids: vec!["c".into(), "nope".into(), "a".into()] };
    assert_eq!(shop.catalog.batch_get_skus(Request::new(request)).await.unwrap().into_inner().skus.len(), 2);

    let page = async |page_token: &str| {
        let request = ListSkusRequest { page_size: 2, page_token: page_token.into() };
        shop.catalog.list_skus(Request::new(request)).await.map(tonic::Response::into_inner)
    };
    let first = page("").await.unwrap();
    assert_eq!(first.skus.iter().map(|sku| sku.sku_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let last = page(&first.next_page_token).await.unwrap();
    assert_eq!((last.skus.len(), last.next_page_token.as_str()), (1, ""));
    for token in ["nope", "campaigns:1:x", "skus:", "skus:a b"] {
        assert_eq!(reason(page(token).await), "PAGE_TOKEN_INVALID", "{token}");
    }
}

#[tokio::test]
async fn a_campaign_has_units_of_its_own_and_a_state_by_the_clock() {
    let shop = Shop::open().await;
    shop.sku(TEE, 7).await;
    let made = shop.create_campaign(campaign(FLASH, -60, 60, &[(TEE, 5, 1)])).await.unwrap();
    assert_eq!((made.state(), made.items[0].free), (CampaignState::Open, 5));
    assert_eq!(shop.gate_free(TEE, FLASH).await, Some(5), "the gate is warm");
    assert_eq!(shop.level(TEE, "").await.on_hand, 7, "the shelf is not touched");
    shop.reserve(Uuid::now_v7(), "alice", &[(TEE, FLASH, 1)]).await.unwrap();

    let request = GetCampaignRequest { campaign_id: FLASH.into() };
    let found = shop.campaigns.get_campaign(Request::new(request)).await.unwrap().into_inner();
    assert_eq!((found.items[0].free, found.items[0].units), (4, 5));
    assert_eq!(shop.create_campaign(made.clone()).await.unwrap().items[0].free, 4, "the same campaign");
    let other = stampede_proto::inventory::v1::Campaign { title: "other".into(), ..made };
    assert_eq!(reason(shop.create_campaign(other).await), "CAMPAIGN_EXISTS");
}

#[tokio::test]
async fn campaigns_are_listed_by_opening_and_by_state() {
    let shop = Shop::open().await;
    shop.sku(TEE, 0).await;
    for (id, opens, closes) in [("later", 60, 90), ("now", -60, 60), ("over", -120, -60)] {
        shop.create_campaign(campaign(id, opens, closes, &[(TEE, 1, 1)])).await.unwrap();
    }
    let list = async |state: CampaignState, page_size, page_token: &str| {
        let request = ListCampaignsRequest { page_size, page_token: page_token.into(), state: state.into() };
        shop.campaigns.list_campaigns(Request::new(request)).await.map(tonic::Response::into_inner)
    };
    let ids = |page: &stampede_proto::inventory::v1::ListCampaignsResponse| {
        page.campaigns.iter().map(|campaign| campaign.campaign_id.clone()).collect::<Vec<_>>()
    };
    let first = list(CampaignState::Unspecified, 2, "").await.unwrap();
    assert_eq!(ids(&first), ["over", "now"]);
    assert_eq!(ids(&list(CampaignState::Unspecified, 2, &first.next_page_token).await.unwrap()), ["later"]);
    assert_eq!(ids(&list(CampaignState::Open, 0, "").await.unwrap()), ["now"]);
    for token in ["skus:a", "campaigns:-377705116800000000000:now", "campaigns:0:no id"] {
        assert_eq!(reason(list(CampaignState::Open, 0, token).await), "PAGE_TOKEN_INVALID", "{token}");
    }
}

#[tokio::test]
async fn a_campaign_that_makes_no_sense_is_refused_with_its_field() {
    let shop = Shop::open().await;
    shop.sku(TEE, 0).await;
    let unknown =
        shop.create_campaign(campaign(FLASH, 0, 60, &[(TEE, 1, 1), ("nope", 1, 1)])).await.unwrap_err();
    assert_eq!(metadata(&unknown, "field").as_deref(), Some("campaign.items[1].sku_id"));
    assert_eq!(reason::<()>(Err(unknown)), "SKU_NOT_FOUND");
    for bad in [
        campaign(FLASH, 60, 60, &[(TEE, 1, 1)]),
        campaign(FLASH, 0, 60, &[(TEE, 1, 1), (TEE, 1, 1)]),
        campaign("shelf", 0, 60, &[(TEE, 1, 1)]),
        campaign(FLASH, 0, 60, &[(TEE, 0, 1)]),
        campaign(FLASH, 0, 60, &[(TEE, 1, 0)]),
    ] {
        assert_eq!(reason(shop.create_campaign(bad).await), "INVALID_ARGUMENT");
    }
    let mut lower = campaign(FLASH, 0, 60, &[(TEE, 1, 1)]);
    lower.items[0].price.as_mut().unwrap().currency = "eur".into();
    assert_eq!(reason(shop.create_campaign(lower).await), "INVALID_ARGUMENT");
}
