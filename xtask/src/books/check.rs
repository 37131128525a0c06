//! What must be true of the books, each as one question that finds what is not so. The booking rules are written here a second
//! time on purpose: the service's own are what is being checked.

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection};

use super::settled;

/// Differences that are looked for of each kind.
pub const MOST: usize = 1_000;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub what: &'static str,
    /// Which transfer, payment or guard.
    pub place: String,
}

pub(super) type Question = (&'static str, &'static str);

const QUESTIONS: [Question; 5] = [
    (
        "a transfer does not balance",
        "SELECT coalesce(transfer_id, settlement_id) || ' in ' || currency FROM ledger_entry
         GROUP BY transfer_id, settlement_id, currency
         HAVING sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) <> 0",
    ),
    ("a fact is not booked as it is", BOOKED),
    (
        "a payment is not the sum of its facts",
        "SELECT i.payment_id::text FROM payment_intent i LEFT JOIN payment_event e USING (payment_id)
         GROUP BY i.payment_id
         HAVING (i.authorized_minor, i.captured_minor, i.voided_minor, i.refunded_minor, i.disputed_minor, i.lost_minor)
                IS DISTINCT FROM (
           coalesce(sum(e.amount_minor) FILTER (WHERE kind = 'AUTHORIZED'), 0)::bigint,
           coalesce(sum(CASE kind WHEN 'CAPTURED' THEN e.amount_minor WHEN 'CAPTURE_CORRECTED' THEN -e.amount_minor END), 0)::bigint,
           coalesce(sum(e.amount_minor) FILTER (WHERE kind IN ('VOIDED', 'EXPIRED')), 0)::bigint,
           coalesce(sum(CASE kind WHEN 'REFUNDED' THEN e.amount_minor WHEN 'REFUND_REVERSED' THEN -e.amount_minor END), 0)::bigint,
           coalesce(sum(CASE kind WHEN 'DISPUTE_OPENED' THEN e.amount_minor WHEN 'DISPUTE_CLOSED' THEN -e.amount_minor END), 0)::bigint,
           coalesce(sum(e.amount_minor) FILTER (WHERE kind = 'DISPUTE_LOST'), 0)::bigint)",
    ),
    (
        "a payment reserves what no open attempt asks for",
        "SELECT i.payment_id::text FROM payment_intent i
         LEFT JOIN payment_attempt a ON a.payment_id = i.payment_id AND a.state IN ('SENT', 'LOST')
         GROUP BY i.payment_id
         HAVING (i.capture_pending_minor, i.refund_pending_minor) IS DISTINCT FROM (
           coalesce(sum(a.amount_minor) FILTER (WHERE operation = 'CAPTURE'), 0)::bigint,
           coalesce(sum(a.amount_minor) FILTER (WHERE operation = 'REFUND'), 0)::bigint)",
    ),
    (
        "a guard of the books is missing or off",
        "SELECT guard FROM unnest(ARRAY['ledger_transfer_balanced', 'ledger_entry_immutable', 'payment_event_immutable',
                                        'payment_event_booked', 'payment_final_state_kept', 'payment_conflict_decided',
                                        'payment_refund_beside_dispute', 'payment_conflict_immutable',
                                        'payment_resolution_immutable', 'ledger_settlement_booked',
                                        'settlement_transfer_booked', 'settlement_transfer_immutable',
                                        'settlement_resolution_booked', 'settlement_resolution_immutable',
                                        'settlement_line_immutable', 'settlement_line_kept', 'settlement_chunk_immutable',
                                        'settlement_file_kept', 'settlement_difference_kept',
                                        'settlement_difference_immutable']) AS guard
         WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = guard AND tgenabled = 'A')",
    ),
];

/// What each kind of fact moves, compared with the entries there are.
const BOOKED: &str = "
    WITH rule (kind, account, side) AS (VALUES
        ('AUTHORIZED', 'provider_holds', 'DEBIT'), ('AUTHORIZED', 'buyer_holds', 'CREDIT'),
        ('CAPTURED', 'buyer_holds', 'DEBIT'), ('CAPTURED', 'provider_holds', 'CREDIT'),
        ('CAPTURED', 'provider_receivable', 'DEBIT'), ('CAPTURED', 'order_funds', 'CREDIT'),
        ('CAPTURE_CORRECTED', 'order_funds', 'DEBIT'), ('CAPTURE_CORRECTED', 'provider_receivable', 'CREDIT'),
        ('CAPTURE_CORRECTED', 'provider_holds', 'DEBIT'), ('CAPTURE_CORRECTED', 'buyer_holds', 'CREDIT'),
        ('VOIDED', 'buyer_holds', 'DEBIT'), ('VOIDED', 'provider_holds', 'CREDIT'),
        ('EXPIRED', 'buyer_holds', 'DEBIT'), ('EXPIRED', 'provider_holds', 'CREDIT'),
        ('REFUNDED', 'order_funds', 'DEBIT'), ('REFUNDED', 'provider_receivable', 'CREDIT'),
        ('REFUND_REVERSED', 'provider_receivable', 'DEBIT'), ('REFUND_REVERSED', 'order_funds', 'CREDIT'),
        ('DISPUTE_OPENED', 'disputed_funds', 'DEBIT'), ('DISPUTE_OPENED', 'provider_receivable', 'CREDIT'),
        ('DISPUTE_CLOSED', 'provider_receivable', 'DEBIT'), ('DISPUTE_CLOSED', 'disputed_funds', 'CREDIT'),
        ('DISPUTE_LOST', 'dispute_losses', 'DEBIT'), ('DISPUTE_LOST', 'disputed_funds', 'CREDIT')),
    expected AS (
        SELECT e.event_id AS transfer_id, r.account, r.side, e.amount_minor, i.currency
        FROM payment_event e JOIN rule r USING (kind) JOIN payment_intent i USING (payment_id)
        WHERE e.amount_minor > 0)
    SELECT coalesce(x.transfer_id, l.transfer_id) || ' ' || coalesce(x.account, l.account) || ': '
           || CASE WHEN l.transfer_id IS NULL THEN 'missing' WHEN x.transfer_id IS NULL THEN 'not of this fact'
              ELSE 'another amount' END
    FROM expected x FULL JOIN (SELECT * FROM ledger_entry WHERE settlement_id IS NULL) l
         ON (l.transfer_id, l.account, l.side, l.currency) = (x.transfer_id, x.account, x.side, x.currency)
    WHERE x.amount_minor IS DISTINCT FROM l.amount_minor";

/// Everything that is not as it should be, of one moment.
///
/// # Errors
/// The database does not answer, or is not the payment service's.
pub async fn differences(conn: &mut PgConnection) -> anyhow::Result<Vec<Difference>> {
    let mut snapshot = conn.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *snapshot).await?;
    let mut found = Vec::new();
    for (what, question) in QUESTIONS.into_iter().chain(settled::QUESTIONS) {
        let question = format!("{question} LIMIT {MOST}");
        let places: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(question))
            .fetch_all(&mut *snapshot)
            .await
            .context(what)?;
        found.extend(places.into_iter().map(|place| Difference { what, place }));
    }
    Ok(found)
}
