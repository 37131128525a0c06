//! What is asked about sagas by others: whether there is one, and how many.

use sqlx::PgExecutor;
use stampede_types::OrderId;

use crate::domain::late::Saga;
use crate::domain::method::BuyerAction;

/// Whether a person decides how the order goes on.
pub async fn is_parked(executor: impl PgExecutor<'_>, order: OrderId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM saga WHERE order_id = $1 AND parked_at IS NOT NULL) AS "parked!""#,
        order.uuid()
    )
    .fetch_one(executor)
    .await
}

/// Whether something is being done, or waits to be done, for an order, or waits for a person.
pub async fn of_order(executor: impl PgExecutor<'_>, order: OrderId) -> Result<Saga, sqlx::Error> {
    let parked = sqlx::query_scalar!(
        r#"SELECT parked_at IS NOT NULL AS "parked!" FROM saga WHERE order_id = $1"#,
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(match parked {
        None => Saga::None,
        Some(false) => Saga::UnderWay,
        Some(true) => Saga::Parked,
    })
}

/// What the buyer has to do before his payment goes on, when it waits for him.
pub async fn action(
    executor: impl PgExecutor<'_>,
    order: OrderId,
) -> Result<Option<BuyerAction>, sqlx::Error> {
    let waiting = sqlx::query!(
        r#"SELECT action_url AS "url!", action_expires_at AS "expires_at!" FROM saga
           WHERE order_id = $1 AND parked_at IS NULL AND action_url IS NOT NULL"#,
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(waiting.map(|row| BuyerAction { url: row.url, expires_at: row.expires_at }))
}

/// Whether something is being done, or waits to be done, with the order itself: a return whose money and units go back is another matter.
pub async fn moves_the_order(executor: impl PgExecutor<'_>, order: OrderId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM saga WHERE order_id = $1 AND parked_at IS NULL AND return_id IS NULL) AS "moves!""#,
        order.uuid()
    )
    .fetch_one(executor)
    .await
}

/// How much work is open and how much waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub open: i64,
    pub parked: i64,
}

pub async fn backlog(executor: impl PgExecutor<'_>) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as!(
        Backlog,
        r#"SELECT count(*) FILTER (WHERE parked_at IS NULL) AS "open!", count(parked_at) AS "parked!" FROM saga"#
    )
    .fetch_one(executor)
    .await
}
