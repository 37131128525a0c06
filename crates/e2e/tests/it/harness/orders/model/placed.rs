//! What may be said to whoever places an order: what it costs, or why there is none, also when the key has come before.

use uuid::Uuid;

use super::answer::Around;
use super::till::{self, Basket, PROMOTIONS};
use crate::harness::orders::record::{Answer, Call, View};

/// Holds that one key may make, each for a try that died.
const HOLDS: usize = 16;

/// A new order costs what the price list says, with the promotions that were asked for and those that apply by themselves.
pub(super) fn priced(basket: &Basket, view: &View) -> Result<(), String> {
    let asked = PROMOTIONS.iter().filter(|known| match known.coupon {
        Some(coupon) => basket.coupons.contains(&coupon),
        None => true,
    });
    let ids: Vec<String> = asked.map(|known| known.id.to_owned()).collect();
    let mut off = till::discounts(&basket.units, ids.iter());
    off.retain(|_, minor| *minor > 0);
    if off != view.promotions {
        return Err(format!("promotions gave {:?} and should give {off:?}", view.promotions));
    }
    let total = till::total(&basket.units, ids.iter());
    let same = view.units == basket.units && view.total == total;
    if same { Ok(()) } else { Err(format!("it should cost {total}: {view:?}")) }
}

/// Whether an order with this key and basket may be refused for this reason.
pub(super) fn may_refuse(around: &Around<'_>, key: Uuid, basket: &Basket, reason: &str) -> bool {
    let earlier: Vec<Try<'_>> = tries(around, key).collect();
    // The key has its order: it is told to whoever wants the same, and nothing is told to anybody else.
    if let Some(first) = earlier.iter().find(|earlier| earlier.accepted && earlier.is_before) {
        return first.basket != basket && reason == "IDEMPOTENCY_KEY_REUSED";
    }
    let in_campaign = basket.units.keys().any(|cell| !cell.campaign.is_empty());
    let scarce = in_campaign || basket.units.keys().any(|cell| cell.sku == "cap");
    match reason {
        "COUPON_INVALID" | "PROMOTION_USED_UP" => PROMOTIONS.iter().any(|known| {
            known.is_limited() && known.coupon.is_some_and(|coupon| basket.coupons.contains(&coupon))
        }),
        // Only what there is little of runs out; only in the campaign there is a limit.
        "OUT_OF_STOCK" => scarce,
        "BUYER_LIMIT" => in_campaign,
        // Tries that died have made all the holds there are.
        "ORDER_EXPIRED" => earlier.len() + 1 >= HOLDS,
        // Another basket under the key: it may have its order already, or hold its stock.
        "IDEMPOTENCY_KEY_REUSED" => {
            earlier.iter().any(|earlier| earlier.basket != basket && (earlier.accepted || earlier.may_hold))
        }
        _ => false,
    }
}

/// Another call with the same key.
struct Try<'a> {
    basket: &'a Basket,
    accepted: bool,
    /// Nobody knows what became of it, or it lost its promotion: its hold may be there still.
    may_hold: bool,
    /// It was answered before the call began.
    is_before: bool,
}

/// What others than this call asked for under the key before it was answered.
fn tries<'a>(around: &Around<'a>, key: Uuid) -> impl Iterator<Item = Try<'a>> {
    let call = around.call;
    around.life.calls.iter().filter_map(move |other| {
        let Call::Place { key: of, basket } = &other.call else { return None };
        if *of != key || std::ptr::eq(other, call) || other.begun > call.ended {
            return None;
        }
        let used_up = |answer: &Answer| {
            matches!(answer, Answer::Refused { reason, .. } if reason == "PROMOTION_USED_UP")
        };
        Some(Try {
            basket,
            accepted: other.answer.view().is_some(),
            may_hold: other.answer.is_unknown() || used_up(&other.answer),
            is_before: other.ended <= call.begun,
        })
    })
}
