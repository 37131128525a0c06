//! Rows of an import, from the wire: each is checked by the contract's rules here, so that a broken one is refused alone.

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use stampede_kit::contract::Rules;
use stampede_proto::inventory::v1::{ImportSkusRequest, ImportSkusResponse, RejectedRow};
use tonic::Status;
use uuid::Uuid;

use super::parse;
use crate::error::{Error, Violation};
use crate::import::{Flaw, Row};
use crate::store::imports::Progress;
use crate::store::skus::NewSku;

/// The import the first row names, and the rows, the first among them.
pub async fn begin<S>(
    mut rows: S,
    rules: Rules,
) -> Result<(Uuid, impl Stream<Item = Result<Row, Status>> + Send), Status>
where
    S: Stream<Item = Result<ImportSkusRequest, Status>> + Send + Unpin,
{
    let Some(first) = rows.next().await.transpose()? else {
        return Err(Error::from(Violation::new("import_id", "the first row names it")).into());
    };
    let id = parse::uuid("import_id", &first.import_id).map_err(Error::from)?;
    let named = first.import_id.clone();
    let all = futures::stream::once(async { Ok(first) }).chain(rows);
    Ok((id, all.map(move |request| request.map(|request| row(request, &named, &rules)))))
}

fn row(request: ImportSkusRequest, named: &str, rules: &Rules) -> Row {
    let called = request.row;
    let content =
        content(&request, named, rules).map_err(|Violation { field, why }| Flaw::invalid(field, why));
    Row { number: (called > 0).then_some(called), called, content }
}

fn content(request: &ImportSkusRequest, named: &str, rules: &Rules) -> Result<NewSku, Violation> {
    if let Some(broken) = rules.check(&request.encode_to_vec()).into_iter().next() {
        return Err(Violation::new(broken.path, broken.description));
    }
    if !request.import_id.is_empty() && request.import_id != named {
        return Err(Violation::new("import_id", "is another import's"));
    }
    let sku = request.sku.as_ref().ok_or_else(|| Violation::new("sku", "is required"))?;
    Ok(NewSku {
        id: parse::text("sku.sku_id", &sku.sku_id)?,
        title: parse::free_text("sku.title", sku.title.clone())?,
        price: parse::money("sku.price", sku.price.clone())?,
        on_hand: request.on_hand,
    })
}

pub fn summary(progress: Progress) -> ImportSkusResponse {
    let Progress { accepted, rejected, rejections, last_row } = progress;
    let told = rejections.into_iter().map(|told| RejectedRow {
        row: told.row,
        field: told.field,
        reason: told.reason,
        description: told.why,
    });
    ImportSkusResponse { accepted, rejected, rejections: told.collect(), last_row }
}
