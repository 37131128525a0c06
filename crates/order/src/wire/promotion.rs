//! Promotions' terms from the wire and back. The stored form of terms is the wire's, so what an order was placed with is read
//! by the same rules years later.

use stampede_proto::order::v1 as wire;
use stampede_proto::order::v1::promotion_action::Action as WireAction;
use stampede_proto::order::v1::promotion_condition::Condition;
use stampede_proto::timestamp;
use stampede_types::{Currency, Money};

use crate::domain::promotion::{Action, Conditions, Promotion};
use crate::error::Error;
use crate::promotions::Counted;

/// The terms of a message whose fields the stack has checked.
///
/// # Errors
/// What the contract's rules cannot say: two minimums, a range that is none, money of two currencies.
pub fn terms(message: wire::Promotion) -> Result<Promotion, Error> {
    let instant = |field: &str, stamp: Option<prost_types::Timestamp>| match stamp {
        None => Ok(None),
        Some(stamp) => stampede_proto::time(&stamp).map(Some).ok_or_else(|| invalid(field, "is no instant")),
    };
    let opens_at = instant("promotion.opens_at", message.opens_at)?;
    let closes_at = instant("promotion.closes_at", message.closes_at)?;
    if opens_at.zip(closes_at).is_some_and(|(opens, closes)| closes <= opens) {
        return Err(invalid("promotion.closes_at", "must be after opens_at"));
    }
    let action = message.action.and_then(|action| action.action);
    let action = action.ok_or_else(|| invalid("promotion.action", "is required"))?;
    let promotion = Promotion {
        id: message.promotion_id.into(),
        title: message.title,
        priority: message.priority,
        stacking_group: message.stacking_group,
        conditions: conditions(message.conditions)?,
        action: self::action(action)?,
        opens_at,
        closes_at,
        per_buyer_limit: Some(message.per_buyer_limit).filter(|limit| *limit > 0),
        use_limit: Some(message.use_limit).filter(|limit| *limit > 0),
        budget: message.budget.map(|budget| money("promotion.budget", budget)).transpose()?,
    };
    if promotion.title.chars().chain(promotion.stacking_group.chars()).any(char::is_control) {
        return Err(invalid("promotion.title", "must have no control characters"));
    }
    one_currency(&promotion)?;
    Ok(promotion)
}

fn conditions(messages: Vec<wire::PromotionCondition>) -> Result<Conditions, Error> {
    let mut conditions = Conditions::default();
    for (at, message) in messages.into_iter().enumerate() {
        let field = |name: &str| format!("promotion.conditions[{at}].{name}");
        match message.condition {
            Some(Condition::MinimumSubtotal(minimum)) => {
                let minimum = money(&field("minimum_subtotal"), minimum)?;
                if conditions.minimum_subtotal.replace(minimum).is_some() {
                    return Err(invalid(&field("minimum_subtotal"), "is given twice"));
                }
            }
            Some(Condition::SkuId(sku)) => {
                conditions.skus.push(sku.parse().map_err(|_| invalid(&field("sku_id"), "is no SKU's name"))?);
            }
            Some(Condition::CampaignId(campaign)) => conditions
                .campaigns
                .push(campaign.parse().map_err(|_| invalid(&field("campaign_id"), "is no campaign's name"))?),
            Some(Condition::Coupon(coupon)) => {
                let coupon = coupon.parse().map_err(|_| invalid(&field("coupon"), "is no coupon"))?;
                if conditions.coupon.replace(coupon).is_some() {
                    return Err(invalid(&field("coupon"), "is given twice"));
                }
            }
            None => return Err(invalid(&field("condition"), "is required")),
        }
    }
    Ok(conditions)
}

fn action(action: WireAction) -> Result<Action, Error> {
    Ok(match action {
        WireAction::PercentOffBp(basis_points) => Action::PercentOff(basis_points),
        WireAction::AmountOff(amount) => Action::AmountOff(money("promotion.action.amount_off", amount)?),
        WireAction::BuyXGetY(sets) => Action::BuyXGetY { buy: sets.buy, get: sets.get },
        WireAction::FreeShipping(wire::FreeShipping {}) => Action::FreeShipping,
        WireAction::Gift(gift) => {
            let sku = gift.sku_id.parse();
            Action::Gift(sku.map_err(|_| invalid("promotion.action.gift.sku_id", "is no SKU's name"))?)
        }
        WireAction::FlashPrice(price) => Action::FlashPrice(money("promotion.action.flash_price", price)?),
    })
}

/// Terms in two currencies could never hold together.
fn one_currency(promotion: &Promotion) -> Result<(), Error> {
    let of_action = match &promotion.action {
        Action::AmountOff(money) | Action::FlashPrice(money) => Some(*money),
        Action::PercentOff(_) | Action::BuyXGetY { .. } | Action::FreeShipping | Action::Gift(_) => None,
    };
    let amounts = [of_action, promotion.conditions.minimum_subtotal, promotion.budget];
    let mut currencies = amounts.into_iter().flatten().map(Money::currency);
    let first: Option<Currency> = currencies.next();
    if currencies.all(|currency| Some(currency) == first) {
        Ok(())
    } else {
        Err(invalid("promotion.budget", "must have the currency of the other amounts"))
    }
}

/// The terms with what has been taken of them.
pub fn counted(promotion: &Counted) -> wire::Promotion {
    let Counted { level, uses } = promotion;
    wire::Promotion {
        uses_reserved: uses.reserved,
        uses_committed: uses.committed,
        uses_taken: level.uses_taken,
        ..message(&level.terms)
    }
}

pub fn message(terms: &Promotion) -> wire::Promotion {
    let conditions = &terms.conditions;
    let condition = |condition| wire::PromotionCondition { condition: Some(condition) };
    let mut all = Vec::new();
    all.extend(conditions.minimum_subtotal.map(|least| condition(Condition::MinimumSubtotal(least.into()))));
    all.extend(conditions.skus.iter().map(|sku| condition(Condition::SkuId(sku.to_string()))));
    let campaigns = conditions.campaigns.iter();
    all.extend(campaigns.map(|campaign| condition(Condition::CampaignId(campaign.to_string()))));
    all.extend(conditions.coupon.iter().map(|code| condition(Condition::Coupon(code.as_str().to_owned()))));
    let action = match &terms.action {
        Action::PercentOff(basis_points) => WireAction::PercentOffBp(*basis_points),
        Action::AmountOff(amount) => WireAction::AmountOff((*amount).into()),
        Action::BuyXGetY { buy, get } => WireAction::BuyXGetY(wire::BuyXGetY { buy: *buy, get: *get }),
        Action::FreeShipping => WireAction::FreeShipping(wire::FreeShipping {}),
        Action::Gift(sku) => WireAction::Gift(wire::Gift { sku_id: sku.to_string() }),
        Action::FlashPrice(price) => WireAction::FlashPrice((*price).into()),
    };
    wire::Promotion {
        promotion_id: terms.id.to_string(),
        title: terms.title.clone(),
        priority: terms.priority,
        stacking_group: terms.stacking_group.clone(),
        conditions: all,
        action: Some(wire::PromotionAction { action: Some(action) }),
        opens_at: terms.opens_at.map(timestamp),
        closes_at: terms.closes_at.map(timestamp),
        per_buyer_limit: terms.per_buyer_limit.unwrap_or(0),
        use_limit: terms.use_limit.unwrap_or(0),
        budget: terms.budget.map(Into::into),
        uses_reserved: 0,
        uses_committed: 0,
        uses_taken: 0,
    }
}

fn money(field: &str, message: stampede_proto::common::v1::Money) -> Result<Money, Error> {
    let rule = "must be an ISO 4217 code";
    Money::try_from(message).map_err(|_| Error::Invalid { field: format!("{field}.currency"), rule })
}

fn invalid(field: &str, rule: &'static str) -> Error {
    Error::Invalid { field: field.to_owned(), rule }
}
