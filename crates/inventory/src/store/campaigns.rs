//! Campaigns and their items.

use sqlx::PgConnection;
use stampede_types::{CampaignId, Money, SkuId};
use time::{Duration, OffsetDateTime};

use super::{broken, cell};
use crate::domain::campaign::CampaignState;
use crate::domain::{CellKey, Window};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub id: CampaignId,
    pub title: String,
    pub window: Window,
    pub items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub sku: SkuId,
    pub price: Money,
    pub units: i64,
    pub per_buyer_limit: i64,
}

/// An item as it stands: with its free units.
#[derive(Debug)]
pub struct Standing {
    pub item: Item,
    pub free: i64,
}

/// A campaign as it stands, with the ledger's clock.
#[derive(Debug)]
pub struct Found {
    pub id: CampaignId,
    pub title: String,
    pub window: Window,
    /// As it was created, before somebody closed it early.
    pub created: Window,
    pub now: OffsetDateTime,
    pub items: Vec<Standing>,
}

/// Inserts the campaign with its items unless one with its id is there; whether it was inserted.
pub async fn insert(conn: &mut PgConnection, campaign: &Campaign) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO campaign (campaign_id, title, opens_at, closes_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (campaign_id) DO NOTHING",
        campaign.id.as_str(),
        campaign.title,
        campaign.window.opens_at,
        campaign.window.closes_at
    )
    .execute(&mut *conn)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let items = &campaign.items;
    sqlx::query!(
        "INSERT INTO campaign_item (campaign_id, position, sku_id, amount_minor, currency, units, per_buyer_limit)
         SELECT $1, i.position, i.sku_id, i.amount_minor, i.currency, i.units, i.per_buyer_limit
         FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[]) WITH ORDINALITY
              AS i (sku_id, amount_minor, currency, units, per_buyer_limit, position)",
        campaign.id.as_str(),
        &items.iter().map(|i| i.sku.as_str().to_owned()).collect::<Vec<_>>(),
        &items.iter().map(|i| i.price.amount_minor()).collect::<Vec<_>>(),
        &items.iter().map(|i| i.price.currency().to_string()).collect::<Vec<_>>(),
        &items.iter().map(|i| i.units).collect::<Vec<_>>(),
        &items.iter().map(|i| i.per_buyer_limit).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?;
    Ok(true)
}

/// Ends the campaign's window at `now`; false when it had ended.
pub async fn close(
    conn: &mut PgConnection,
    id: &CampaignId,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query!(
        "UPDATE campaign SET created_opens_at = opens_at, created_closes_at = closes_at,
                             opens_at = least(opens_at, $2), closes_at = $2
         WHERE campaign_id = $1 AND closes_at > $2",
        id.as_str(),
        now
    )
    .execute(conn)
    .await?;
    Ok(closed.rows_affected() > 0)
}

struct Row {
    campaign_id: String,
    title: String,
    opens_at: OffsetDateTime,
    closes_at: OffsetDateTime,
    created_opens_at: OffsetDateTime,
    created_closes_at: OffsetDateTime,
    now: OffsetDateTime,
}

/// One campaign with its items and their free units.
pub async fn find(conn: &mut PgConnection, id: &CampaignId) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT campaign_id, title, opens_at, closes_at, coalesce(created_opens_at, opens_at) AS "created_opens_at!",
                  coalesce(created_closes_at, closes_at) AS "created_closes_at!", now() AS "now!"
           FROM campaign WHERE campaign_id = $1"#,
        id.as_str()
    )
    .fetch_optional(&mut *conn)
    .await?;
    Ok(with_items(conn, row.into_iter().collect()).await?.pop())
}

/// So many campaigns after this opening time and id, in that order; only those in `state` when one is given.
pub async fn page(
    conn: &mut PgConnection,
    after: Option<(OffsetDateTime, &str)>,
    state: Option<CampaignState>,
    limit: i64,
) -> Result<Vec<Found>, sqlx::Error> {
    let state = state.map(|state| match state {
        CampaignState::Planned => "PLANNED",
        CampaignState::Open => "OPEN",
        CampaignState::Closed => "CLOSED",
    });
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT campaign_id, title, opens_at, closes_at, coalesce(created_opens_at, opens_at) AS "created_opens_at!",
                  coalesce(created_closes_at, closes_at) AS "created_closes_at!", now() AS "now!"
           FROM campaign
           WHERE ($1::timestamptz IS NULL OR (opens_at, campaign_id) > ($1, $2::text))
             AND ($3::text IS NULL OR $3 = CASE WHEN now() < opens_at THEN 'PLANNED'
                                                WHEN now() < closes_at THEN 'OPEN' ELSE 'CLOSED' END)
           ORDER BY opens_at, campaign_id LIMIT $4"#,
        after.map(|(opens_at, _)| opens_at),
        after.map(|(_, id)| id),
        state,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    with_items(conn, rows).await
}

/// Cells of campaigns that open within this time by the ledger's clock, the next ones first.
pub async fn opening(
    conn: &mut PgConnection,
    within: Duration,
    limit: i64,
) -> Result<Vec<CellKey>, sqlx::Error> {
    let rows = sqlx::query!(
        "SELECT i.campaign_id, i.sku_id FROM campaign c JOIN campaign_item i USING (campaign_id)
         WHERE c.opens_at > now() AND c.opens_at <= now() + make_interval(secs => $1)
         ORDER BY c.opens_at, c.campaign_id, i.position LIMIT $2",
        within.as_seconds_f64(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| cell(&row.campaign_id, &row.sku_id)).collect()
}

async fn with_items(conn: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Found>, sqlx::Error> {
    let ids: Vec<String> = rows.iter().map(|row| row.campaign_id.clone()).collect();
    let items = sqlx::query!(
        r#"SELECT i.campaign_id, i.sku_id, i.amount_minor, i.currency, i.units, i.per_buyer_limit,
                  s.on_hand + s.backorder - s.held - s.committed AS "free!"
           FROM campaign_item i JOIN stock s ON s.pool = i.campaign_id AND s.sku_id = i.sku_id
           WHERE i.campaign_id = ANY($1) ORDER BY i.campaign_id, i.position"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let of_it = items.iter().filter(|item| item.campaign_id == row.campaign_id).map(|item| {
                let price = Money::new(item.amount_minor, item.currency.parse().map_err(broken)?);
                let sku = item.sku_id.parse().map_err(broken)?;
                let standing = Item { sku, price, units: item.units, per_buyer_limit: item.per_buyer_limit };
                Ok(Standing { item: standing, free: item.free })
            });
            Ok(Found {
                items: of_it.collect::<Result<_, sqlx::Error>>()?,
                id: row.campaign_id.parse().map_err(broken)?,
                title: row.title,
                window: Window { opens_at: row.opens_at, closes_at: row.closes_at },
                created: Window { opens_at: row.created_opens_at, closes_at: row.created_closes_at },
                now: row.now,
            })
        })
        .collect()
}
