//! `orders review`: what waits for a person, those that have waited longest first. It changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_proto::order::v1::{ListReviewsRequest, Review, ReviewResolution};

use super::client;
use crate::staff;
use crate::terminal::say;
use crate::up;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub async fn run(as_json: bool) -> anyhow::Result<()> {
    let stack = up::running()?;
    let mut client = client(&stack)?;
    let reviews = staff::listed(async |page_token| {
        let message = ListReviewsRequest { page_size: staff::PAGE, page_token };
        let answer = client.list_reviews(staff::request(&stack, "reviewer", message, ANSWER_WITHIN)?).await;
        let page = answer
            .map_err(|status| anyhow::anyhow!("order refuses to list reviews: {}", status.message()))?
            .into_inner();
        Ok((page.reviews, page.next_page_token))
    })
    .await?;
    if as_json {
        say(json!({ "reviews": reviews.iter().map(object).collect::<Vec<_>>() }).to_string());
    } else if reviews.is_empty() {
        say("nothing waits for a person");
    } else {
        reviews.iter().flat_map(lines).for_each(say);
    }
    Ok(())
}

/// `STEP_DONE` of `REVIEW_RESOLUTION_STEP_DONE`.
pub fn word(resolution: i32) -> &'static str {
    let name = ReviewResolution::try_from(resolution).unwrap_or_default().as_str_name();
    name.strip_prefix("REVIEW_RESOLUTION_").unwrap_or(name)
}

/// Three lines an order: which, why, what may be done; and one for each decision made before.
fn lines(review: &Review) -> Vec<String> {
    let order = review.order.clone().unwrap_or_default();
    let states = (order.payment_state().as_str_name(), order.stock_state().as_str_name());
    let possible: Vec<&str> = review.possible.iter().copied().map(word).collect();
    let payment = match review.payment_id.as_str() {
        "" => String::new(),
        payment => format!(" of --payment {payment}"),
    };
    let mut lines = vec![
        format!(
            "{} of {} at {}{payment} since {}",
            order.order_id,
            order.buyer_id,
            review.step,
            staff::instant(review.since.as_ref().and_then(stampede_proto::time))
        ),
        format!("  {} ({}, {})", review.reason, short(states.0), short(states.1)),
        format!("  possible: {}", possible.join(", ")),
    ];
    lines.extend(review.decisions.iter().map(|made| {
        format!("  before: {} at {} by {}: {}", word(made.resolution), made.step, made.actor, made.note)
    }));
    lines
}

/// `payment PAID` of `ORDER_PAYMENT_STATE_PAID`.
fn short(state: &str) -> String {
    let rest = state.strip_prefix("ORDER_").unwrap_or(state);
    let (side, word) = rest.split_once("_STATE_").unwrap_or(("", rest));
    format!("{} {word}", side.to_lowercase()).trim_start().to_owned()
}

fn object(review: &Review) -> Value {
    let order = review.order.clone().unwrap_or_default();
    json!({
        "orderId": order.order_id,
        "buyerId": order.buyer_id,
        "state": order.state().as_str_name(),
        "paymentState": order.payment_state().as_str_name(),
        "stockState": order.stock_state().as_str_name(),
        "step": review.step,
        "paymentId": review.payment_id,
        "reason": review.reason,
        "since": staff::instant(review.since.as_ref().and_then(stampede_proto::time)),
        "possible": review.possible.iter().copied().map(word).collect::<Vec<_>>(),
        "decisions": review.decisions.iter().map(|made| json!({
            "resolutionId": made.resolution_id, "resolution": word(made.resolution), "step": made.step,
            "paymentId": made.payment_id, "reason": made.reason, "actor": made.actor, "note": made.note,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use stampede_proto::order::v1::{Order, OrderPaymentState, OrderStockState};

    use super::*;

    #[test]
    fn a_review_says_which_order_why_and_what_may_be_done() {
        let order = Order {
            order_id: "o".into(),
            buyer_id: "alice".into(),
            payment_state: OrderPaymentState::Paid.into(),
            stock_state: OrderStockState::Committed.into(),
            ..Order::default()
        };
        let review = Review {
            order: Some(order),
            step: "REFUND".into(),
            reason: "REFUND was refused: PAYMENT_NOT_FOUND".into(),
            possible: vec![ReviewResolution::Retry.into(), ReviewResolution::StepDone.into()],
            ..Review::default()
        };
        let said = lines(&review);
        assert_eq!(said[0], "o of alice at REFUND since 1970-01-01T00:00:00Z");
        assert_eq!(said[1], "  REFUND was refused: PAYMENT_NOT_FOUND (payment PAID, stock COMMITTED)");
        assert_eq!(said[2], "  possible: RETRY, STEP_DONE");
        assert_eq!(object(&review)["possible"], json!(["RETRY", "STEP_DONE"]));
        let late = Review { step: "LATE_REFUND".into(), payment_id: "p".into(), ..review };
        assert_eq!(lines(&late)[0], "o of alice at LATE_REFUND of --payment p since 1970-01-01T00:00:00Z");
    }
}
