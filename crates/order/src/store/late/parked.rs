//! Late money that waits for a person.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{OrderId, PaymentId};

use super::{Watched, WatchedRow};

/// A person is waited for; the payment is still looked at, in case somebody else settles it. Whether this is new: false also when the
/// claim was lost.
pub async fn park(
    conn: &mut PgConnection,
    watched: &Watched,
    amount_minor: i64,
    why: &str,
    pause: Duration,
) -> Result<bool, sqlx::Error> {
    let parked = sqlx::query_scalar!(
        r#"UPDATE given_up_payment SET parked_at = coalesce(parked_at, now()), why = $2, asked = asked + 1,
                  giving_back_minor = coalesce(giving_back_minor, nullif($3::bigint, 0)), next_at = now() + make_interval(secs => $4)
           WHERE payment_id = $1 AND next_at = $5 RETURNING parked_at = now() AS "new!""#,
        watched.payment.uuid(),
        why,
        amount_minor,
        pause.as_secs_f64(),
        watched.claim
    )
    .fetch_optional(conn)
    .await?;
    Ok(parked == Some(true))
}

/// Payments that wait for a person.
pub async fn parked(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM given_up_payment WHERE parked_at IS NOT NULL"#)
        .fetch_one(executor)
        .await
}

/// Takes one that waits for a person, for a decision about it, with why it waits. The caller holds the order's row lock.
pub async fn lock_parked(
    executor: impl PgExecutor<'_>,
    order: OrderId,
    payment: PaymentId,
) -> Result<Option<(Watched, String)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT asked, giving_back_minor, next_at, why, extract(epoch FROM now() - given_up_at)::float8 AS "age!"
           FROM given_up_payment WHERE payment_id = $1 AND order_id = $2 AND parked_at IS NOT NULL FOR UPDATE"#,
        payment.uuid(),
        order.uuid()
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|row| {
        let watched = WatchedRow {
            payment_id: payment.uuid(),
            order_id: order.uuid(),
            asked: row.asked,
            giving_back_minor: row.giving_back_minor,
            next_at: row.next_at,
            parked: true,
            age: row.age,
        };
        (watched.into_watched(), row.why)
    }))
}

/// Nobody is waited for any more: it is looked at once more, at once.
pub async fn resume(executor: impl PgExecutor<'_>, payment: PaymentId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE given_up_payment SET parked_at = NULL, why = '', asked = 0, next_at = 'epoch' WHERE payment_id = $1",
        payment.uuid()
    )
    .execute(executor)
    .await?;
    Ok(())
}
