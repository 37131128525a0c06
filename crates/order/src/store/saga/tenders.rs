//! The tenders an order is paid with, as they lie beside its saga. Their tokens never print.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use stampede_types::Money;

use crate::domain::method::{Method, Tender};
use crate::store::orders::parsed;

/// As it lies in the column.
#[derive(Serialize, Deserialize)]
pub struct TenderRow {
    kind: String,
    token: String,
    amount_minor: i64,
    currency: String,
}

pub fn tender_rows(method: &Method) -> Option<Json<Vec<TenderRow>>> {
    let row = |tender: &Tender| {
        let amount = tender.amount?;
        Some(TenderRow {
            kind: tender.kind.as_str().to_owned(),
            token: tender.token.clone(),
            amount_minor: amount.amount_minor(),
            currency: amount.currency().to_string(),
        })
    };
    let rows: Vec<TenderRow> = method.tenders.iter().filter_map(row).collect();
    (!rows.is_empty()).then_some(Json(rows))
}

impl TenderRow {
    pub fn tender(self) -> Result<Tender, sqlx::Error> {
        let amount = Money::new(self.amount_minor, parsed(&self.currency)?);
        Ok(Tender { kind: parsed(&self.kind)?, token: self.token, amount: Some(amount) })
    }
}
