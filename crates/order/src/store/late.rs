//! Payments that were given up and are watched for money, and what payment's events tell of a saga. Waiting is measured by
//! Postgres's clock.

mod parked;

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};
use stampede_types::{OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::late::pause;
use crate::domain::order::{Change, Order};
use crate::domain::state::PaymentState;

pub use parked::{lock_parked, park, parked, resume};

/// A payment to be asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    pub payment: PaymentId,
    pub order: OrderId,
    /// How often it was asked about before.
    pub asked: u32,
    /// How long ago it was given up.
    pub age: Duration,
    /// What is being given back, in minor units, once that was begun.
    pub giving_back: Option<i64>,
    /// A person decides what becomes of it: until then nobody moves its money.
    pub parked: bool,
    /// Until when it belongs to whoever took it. What is written by somebody whose claim is gone changes nothing.
    claim: OffsetDateTime,
}

struct WatchedRow {
    payment_id: Uuid,
    order_id: Uuid,
    asked: i32,
    giving_back_minor: Option<i64>,
    next_at: OffsetDateTime,
    parked: bool,
    age: f64,
}

/// An order's change has left its payment behind, when it did: from then on the payment is watched, whoever wrote the change. One
/// that is watched already stays as it is; nobody pays for nothing.
pub async fn left_behind(conn: &mut PgConnection, change: &Change, order: &Order) -> Result<(), sqlx::Error> {
    let left = matches!(change.payment, Some(PaymentState::Unpaid | PaymentState::Voided));
    match order.payment {
        Some(payment) if left && !order.is_free() => give_up(conn, payment, order.id, pause(0)).await,
        Some(_) | None => Ok(()),
    }
}

async fn give_up(
    conn: &mut PgConnection,
    payment: PaymentId,
    order: OrderId,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO given_up_payment (payment_id, order_id, next_at) VALUES ($1, $2, now() + make_interval(secs => $3))
         ON CONFLICT ON CONSTRAINT given_up_payment_once DO NOTHING",
        payment.uuid(),
        order.uuid(),
        pause.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What has happened to a payment brings to its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brings {
    NoMoney,
    Money,
    /// What was given back is there again.
    MoneyAgain,
    /// The provider contradicts payment's books, or a person has decided about that.
    Doubt,
}

/// Something has happened to this payment: the saga that may wait for it looks at once. Money on a payment that its order does not
/// stand on is looked for at once, before all that is merely due; money that has come back, or is in doubt, wherever the order stands.
pub async fn heard(
    conn: &mut PgConnection,
    payment: PaymentId,
    order: OrderId,
    brings: Brings,
) -> Result<(), sqlx::Error> {
    // The saga's row first, as whoever moves an order takes them.
    sqlx::query!(
        "UPDATE saga SET hinted_at = now(), next_at = least(next_at, now()) WHERE order_id = $1 AND parked_at IS NULL",
        order.uuid()
    )
    .execute(&mut *conn)
    .await?;
    if brings == Brings::NoMoney {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO given_up_payment (payment_id, order_id, next_at)
         SELECT $1, order_id, 'epoch' FROM orders
         WHERE order_id = $2
           AND ($3 OR payment_id IS DISTINCT FROM $1 OR state IN ('EXPIRED', 'CANCELLED') OR payment_state = 'UNPAID')
         ON CONFLICT ON CONSTRAINT given_up_payment_once DO UPDATE SET next_at = 'epoch', asked = 0",
        payment.uuid(),
        order.uuid(),
        matches!(brings, Brings::MoneyAgain | Brings::Doubt)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes payments whose time has come, for as long as the lease.
pub async fn take_due(
    executor: impl PgExecutor<'_>,
    lease: Duration,
    most: i64,
) -> Result<Vec<Watched>, sqlx::Error> {
    let rows = sqlx::query_as!(
        WatchedRow,
        r#"UPDATE given_up_payment SET next_at = now() + make_interval(secs => $1)
           WHERE payment_id IN (SELECT payment_id FROM given_up_payment WHERE next_at <= now()
                                ORDER BY next_at LIMIT $2 FOR UPDATE SKIP LOCKED)
           RETURNING payment_id, order_id, asked, giving_back_minor, next_at, parked_at IS NOT NULL AS "parked!",
                     extract(epoch FROM now() - given_up_at)::float8 AS "age!""#,
        lease.as_secs_f64(),
        most
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(WatchedRow::into_watched).collect())
}

impl WatchedRow {
    fn into_watched(self) -> Watched {
        Watched {
            payment: PaymentId::new(self.payment_id),
            order: OrderId::new(self.order_id),
            asked: u32::try_from(self.asked).unwrap_or(u32::MAX),
            age: Duration::try_from_secs_f64(self.age).unwrap_or_default(),
            giving_back: self.giving_back_minor,
            parked: self.parked,
            claim: self.next_at,
        }
    }
}

/// It is asked about again after the pause.
pub async fn later(
    executor: impl PgExecutor<'_>,
    watched: &Watched,
    pause: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE given_up_payment SET asked = asked + 1, next_at = now() + make_interval(secs => $2)
         WHERE payment_id = $1 AND next_at = $3",
        watched.payment.uuid(),
        pause.as_secs_f64(),
        watched.claim
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// So much of it is given back from now on. False when the claim was lost.
pub async fn giving_back(
    executor: impl PgExecutor<'_>,
    watched: &Watched,
    amount_minor: i64,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query!(
        "UPDATE given_up_payment SET giving_back_minor = $2 WHERE payment_id = $1 AND next_at = $3",
        watched.payment.uuid(),
        amount_minor,
        watched.claim
    )
    .execute(executor)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// It is not watched any more. False when the claim was lost.
pub async fn forget(executor: impl PgExecutor<'_>, watched: &Watched) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query!(
        "DELETE FROM given_up_payment WHERE payment_id = $1 AND next_at = $2",
        watched.payment.uuid(),
        watched.claim
    )
    .execute(executor)
    .await?;
    Ok(gone.rows_affected() == 1)
}
