//! Transfers of settlement and their entries. The database refuses the commit of one that is not booked as it is stated.

use sqlx::PgConnection;

use crate::domain::reconcile::Transfer;

/// Writes transfers with their entries.
///
/// # Errors
/// A line, a fact or a decision that is settled already, or the database's; what is not true fails at the commit.
pub async fn append(
    conn: &mut PgConnection,
    provider: &str,
    transfers: &[Transfer],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = transfers.iter().map(|transfer| transfer.id).collect();
    let lines: Vec<_> = transfers.iter().map(|transfer| transfer.line).collect();
    let events: Vec<_> = transfers.iter().map(|transfer| transfer.event).collect();
    let resolutions: Vec<_> = transfers.iter().map(|transfer| transfer.resolution).collect();
    let currencies: Vec<_> = transfers.iter().map(|transfer| transfer.currency.to_string()).collect();
    let bank: Vec<_> = transfers.iter().map(|transfer| transfer.bank_minor).collect();
    let fees: Vec<_> = transfers.iter().map(|transfer| transfer.fee_minor).collect();
    let differences: Vec<_> = transfers.iter().map(|transfer| transfer.difference_minor).collect();
    let receivables: Vec<_> = transfers.iter().map(|transfer| transfer.receivable_minor).collect();
    sqlx::query!(
        "INSERT INTO settlement_transfer (provider, settlement_id, line, event_id, resolution_id, currency, bank_minor, fee_minor,
                                          difference_minor, receivable_minor)
         SELECT $1, * FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::uuid[], $6::text[], $7::bigint[], $8::bigint[],
                                  $9::bigint[], $10::bigint[])",
        provider,
        &ids,
        &lines as &[Option<i64>],
        &events as &[Option<uuid::Uuid>],
        &resolutions as &[Option<uuid::Uuid>],
        &currencies,
        &bank,
        &fees,
        &differences,
        &receivables,
    )
    .execute(&mut *conn)
    .await?;
    append_entries(conn, transfers).await
}

async fn append_entries(conn: &mut PgConnection, transfers: &[Transfer]) -> Result<(), sqlx::Error> {
    let of = |transfer: &Transfer| {
        let (id, currency) = (transfer.id, transfer.currency.to_string());
        transfer.postings().map(move |posting| (id, posting, currency.clone())).collect::<Vec<_>>()
    };
    let entries: Vec<_> = transfers.iter().flat_map(of).collect();
    let ids: Vec<_> = entries.iter().map(|(id, _, _)| *id).collect();
    let accounts: Vec<_> = entries.iter().map(|(_, posting, _)| posting.account.to_owned()).collect();
    let sides: Vec<_> = entries.iter().map(|(_, posting, _)| posting.side.as_str().to_owned()).collect();
    let amounts: Vec<_> = entries.iter().map(|(_, posting, _)| posting.amount_minor).collect();
    let currencies: Vec<_> = entries.into_iter().map(|(_, _, currency)| currency).collect();
    sqlx::query!(
        "INSERT INTO ledger_entry (settlement_id, account, side, amount_minor, currency)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[])",
        &ids,
        &accounts,
        &sides,
        &amounts,
        &currencies,
    )
    .execute(conn)
    .await?;
    Ok(())
}
