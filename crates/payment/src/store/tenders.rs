//! The tenders of a payment, as they lie in its row. Their tokens never print.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use stampede_types::{Currency, Money};

use super::unknown;
use crate::domain::{Method, Tender, Terms, Token};

/// As it lies in the column.
#[derive(Serialize, Deserialize)]
pub struct TenderRow {
    amount_minor: i64,
    kind: String,
    token: String,
}

/// None for a payment of one method.
pub fn rows(terms: &Terms) -> Option<Json<Vec<TenderRow>>> {
    let tenders = &terms.tenders;
    let row = |tender: &Tender| TenderRow {
        amount_minor: tender.amount.amount_minor(),
        kind: tender.method.kind.as_str().to_owned(),
        token: tender.method.token.expose().to_owned(),
    };
    (!tenders.is_empty()).then(|| Json(tenders.iter().map(row).collect()))
}

impl TenderRow {
    /// # Errors
    /// A method that this version does not know.
    pub fn tender(self, currency: Currency) -> Result<Tender, sqlx::Error> {
        let kind = self.kind.parse().map_err(unknown)?;
        let method = Method { kind, token: Token::new(self.token) };
        Ok(Tender { amount: Money::new(self.amount_minor, currency), method })
    }
}
