//! The trial balance: what was debited and credited on every account, by currency. In each currency both sides are equal, or the books
//! are wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{FromRow, PgConnection};

/// One account in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Balance {
    pub account: String,
    pub normal: String,
    pub currency: String,
    pub debits: i64,
    pub credits: i64,
}

impl Balance {
    /// What is on the account, above zero on the side that is normal for it.
    fn minor(&self) -> i64 {
        if self.normal == "DEBIT" { self.debits - self.credits } else { self.credits - self.debits }
    }
}

/// Every account that was moved, in order of currency and account.
pub async fn balances(conn: &mut PgConnection) -> Result<Vec<Balance>, sqlx::Error> {
    sqlx::query_as(
        "SELECT account, normal, currency,
                coalesce(sum(amount_minor) FILTER (WHERE side = 'DEBIT'), 0)::bigint AS debits,
                coalesce(sum(amount_minor) FILTER (WHERE side = 'CREDIT'), 0)::bigint AS credits
         FROM ledger_entry JOIN ledger_account USING (account)
         GROUP BY account, normal, currency ORDER BY currency, account",
    )
    .fetch_all(conn)
    .await
}

/// Debits and credits of each currency.
pub fn totals(balances: &[Balance]) -> BTreeMap<&str, (i64, i64)> {
    let mut totals = BTreeMap::new();
    for balance in balances {
        let (debits, credits) = totals.entry(balance.currency.as_str()).or_insert((0, 0));
        *debits += balance.debits;
        *credits += balance.credits;
    }
    totals
}

pub fn object(balances: &[Balance]) -> Value {
    let accounts: Vec<_> = balances
        .iter()
        .map(|balance| {
            json!({
                "account": balance.account, "currency": balance.currency, "debitsMinor": balance.debits,
                "creditsMinor": balance.credits, "balanceMinor": balance.minor(), "normal": balance.normal,
            })
        })
        .collect();
    let totals = totals(balances).into_iter().map(|(currency, (debits, credits))| {
        json!({ "currency": currency, "debitsMinor": debits, "creditsMinor": credits })
    });
    json!({ "accounts": accounts, "totals": totals.collect::<Vec<_>>() })
}

/// A table in minor units, a total for each currency below it.
pub fn lines(balances: &[Balance]) -> Vec<String> {
    let row = |account: &str, currency: &str, debits: i64, credits: i64, balance: String| {
        format!("{account:<20} {currency} {debits:>16} {credits:>16} {balance:>16}")
    };
    let mut lines = vec![format!("{:<24} {:>16} {:>16} {:>16}", "account", "debits", "credits", "balance")];
    for balance in balances {
        let Balance { account, currency, debits, credits, .. } = balance;
        lines.push(row(account, currency, *debits, *credits, balance.minor().to_string()));
    }
    for (currency, (debits, credits)) in totals(balances) {
        let said = if debits == credits { "balanced" } else { "NOT BALANCED" };
        lines.push(row("total", currency, debits, credits, said.to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(account: &str, normal: &str, debits: i64, credits: i64) -> Balance {
        let (account, normal, currency) = (account.into(), normal.into(), "EUR".into());
        Balance { account, normal, currency, debits, credits }
    }

    #[test]
    fn both_sides_are_summed_by_currency_and_an_account_stands_on_its_normal_side() {
        let books =
            [balance("order_funds", "CREDIT", 40, 100), balance("provider_receivable", "DEBIT", 100, 40)];
        assert_eq!(totals(&books), BTreeMap::from([("EUR", (140, 140))]));
        assert_eq!((books[0].minor(), books[1].minor()), (60, 60));
        let said = lines(&books);
        assert!(said[1].ends_with(" 60") && said[3].ends_with("balanced"), "{said:?}");
        assert!(lines(&books[..1])[2].ends_with("NOT BALANCED"));
        assert_eq!(object(&books)["totals"][0]["debitsMinor"], 140);
    }
}
