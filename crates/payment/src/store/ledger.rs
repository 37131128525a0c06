//! The books. The database refuses the commit of a transfer that does not balance.

use sqlx::PgConnection;

use crate::domain::Entry;

/// # Errors
/// The database's; an unbalanced transfer fails at the commit.
pub async fn append(conn: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let transfers: Vec<_> = entries.iter().map(|entry| entry.transfer).collect();
    let accounts: Vec<_> = entries.iter().map(|entry| entry.account.to_owned()).collect();
    let sides: Vec<_> = entries.iter().map(|entry| entry.side.as_str().to_owned()).collect();
    let amounts: Vec<_> = entries.iter().map(|entry| entry.amount_minor).collect();
    let currencies: Vec<_> = entries.iter().map(|entry| entry.currency.to_string()).collect();
    sqlx::query!(
        "INSERT INTO ledger_entry (transfer_id, account, side, amount_minor, currency)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::text[])",
        &transfers,
        &accounts,
        &sides,
        &amounts,
        &currencies,
    )
    .execute(conn)
    .await?;
    Ok(())
}
