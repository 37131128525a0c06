//! What an update of a SKU changes, from the wire. The mask says which fields count, so the contract's rules are checked here
//! and of these fields only.

use prost::Message as _;
use stampede_kit::contract::Rules;
use stampede_proto::common::v1::Money;
use stampede_proto::inventory::v1::{Sku, UpdateSkuRequest};
use stampede_types::SkuId;

use super::parse;
use crate::error::{Error, Violation};
use crate::update::Changed;

const PATHS: [&str; 2] = ["title", "price"];

pub fn parse(request: UpdateSkuRequest, rules: &Rules) -> Result<(SkuId, Changed), Error> {
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    if let Some(at) = paths.iter().position(|path| !PATHS.contains(&path.as_str())) {
        let why = format!("must be one of {}", PATHS.join(", "));
        return Err(Violation::new(format!("update_mask.paths[{at}]"), why).into());
    }
    let named = |path: &str| paths.is_empty() || paths.iter().any(|named| named == path);
    let mut sku = request.sku.ok_or_else(|| Violation::new("sku", "is required"))?;
    // In the place of a field that does not count stands one that breaks no rule.
    if !named("title") {
        sku.title = "-".to_owned();
    }
    if !named("price") {
        sku.price = Some(Money { amount_minor: 0, currency: "XXX".to_owned() });
    }
    let asked = UpdateSkuRequest { sku: Some(sku), update_mask: None };
    if let Some(broken) = rules.check(&asked.encode_to_vec()).into_iter().next() {
        return Err(Violation::new(broken.path, broken.description).into());
    }
    let Sku { sku_id, title, price, .. } = asked.sku.unwrap_or_default();
    let id = parse::text("sku.sku_id", &sku_id)?;
    let price = named("price").then(|| parse::money("sku.price", price)).transpose()?;
    let title = named("title").then(|| parse::free_text("sku.title", title)).transpose()?;
    Ok((id, Changed { title, price }))
}
