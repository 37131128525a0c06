//! Wire messages to values and back. It refuses what has no meaning and decides nothing.

mod method;
pub mod promotion;

use prost_types::Timestamp;
use stampede_proto::order::v1 as wire;
use stampede_proto::payment::v1::PaymentAction;
use stampede_proto::timestamp;
use time::{Duration, OffsetDateTime};

use crate::domain::cart::Cart;
use crate::domain::fulfilment::{Shipment, Units};
use crate::domain::order::{Line, Order};
use crate::domain::page::Sort;
use crate::domain::promotion::Applied;
use crate::domain::returns::{Return, ReturnEvent, ReturnState};
use crate::domain::state::{FulfilmentState, OrderState, PaymentState, StockState};
use crate::error::Error;
use crate::list::Query;
use crate::pay::Paying;
use crate::quote::Quote;

pub use method::{method, method_message};

pub fn order(order: &Order) -> wire::Order {
    wire::Order {
        order_id: order.id.to_string(),
        buyer_id: order.buyer.to_string(),
        state: state(order.state).into(),
        payment_state: payment_state(order.payment_state).into(),
        stock_state: stock_state(order.stock_state).into(),
        fulfilment_state: fulfilment_state(order.fulfilment_state).into(),
        lines: order.lines.iter().map(line).collect(),
        subtotal: Some(order.subtotal.into()),
        discount: Some(order.discount.into()),
        total: Some(order.total.into()),
        reservation_id: order.reservation().to_string(),
        payment_id: order.payment.map(|id| id.to_string()).unwrap_or_default(),
        expires_at: Some(timestamp(order.expires_at)),
        created_at: Some(timestamp(order.created_at)),
        updated_at: Some(timestamp(order.updated_at)),
        version: order.version,
        decline: order.decline.clone(),
        shipments: order.shipments.iter().map(|shipment| self::shipment(order, shipment)).collect(),
        returns: order.returns.iter().map(|back| order_return(order, back)).collect(),
        refunded: Some(order.refunded.into()),
        uncaptured: Some(order.uncaptured.into()),
        end_reason: order.end_reason.map(|reason| reason.as_str().to_owned()).unwrap_or_default(),
        promotions: order.promotions.iter().map(applied).collect(),
        shipping: Some(order.shipping.into()),
        action: None,
    }
}

pub fn paying(paying: &Paying) -> wire::Order {
    let action = paying.action.as_ref().map(|action| PaymentAction {
        redirect_url: action.url.clone(),
        expires_at: Some(timestamp(action.expires_at)),
    });
    wire::Order { action, ..order(&paying.order) }
}

pub fn cart(cart: &Cart) -> wire::Cart {
    let items = cart.items.iter().map(|(item, units)| wire::CartItem {
        sku_id: item.sku.to_string(),
        campaign_id: item.pool.campaign_id().to_owned(),
        quantity: *units,
    });
    wire::Cart {
        cart_id: cart.id.map(|id| id.to_string()).unwrap_or_default(),
        items: items.collect(),
        version: cart.version,
        updated_at: cart.updated_at.map(timestamp),
    }
}

pub fn quote(quote: Quote) -> wire::QuotePriceResponse {
    let priced = quote.priced;
    wire::QuotePriceResponse {
        total: Some(priced.total.into()),
        quote: quote.text,
        valid_until: Some(timestamp(quote.valid_until)),
        subtotal: Some(priced.subtotal.into()),
        discount: Some(priced.discount.into()),
        shipping: Some(priced.shipping.into()),
        lines: priced.lines.iter().map(line).collect(),
        promotions: priced.promotions.iter().map(applied).collect(),
    }
}

fn applied(applied: &Applied) -> wire::AppliedPromotion {
    wire::AppliedPromotion {
        promotion_id: applied.terms.id.to_string(),
        discount: Some(applied.discount.into()),
        title: applied.terms.title.clone(),
    }
}

pub fn shipment(order: &Order, shipment: &Shipment) -> wire::Shipment {
    wire::Shipment {
        shipment_id: shipment.id.to_string(),
        lines: shipment.units.iter().map(|units| item(order, *units)).collect(),
        shipped_at: Some(timestamp(shipment.shipped_at)),
        delivered_at: shipment.delivered_at.map(timestamp),
    }
}

pub fn order_return(order: &Order, back: &Return) -> wire::OrderReturn {
    wire::OrderReturn {
        return_id: back.id.to_string(),
        order_id: order.id.to_string(),
        state: return_state(back.state).into(),
        lines: back.units.iter().map(|units| item(order, *units)).collect(),
        refund: back.settled.map(|settled| settled.refund.into()),
        created_at: Some(timestamp(back.created_at)),
        reason: back.reason.clone(),
        restock: back.settled.is_some_and(|settled| settled.restock),
    }
}

/// What staff say has become of a return; `None` for a state that nobody can ask for.
pub fn return_event(state: wire::ReturnState) -> Option<ReturnEvent> {
    match state {
        wire::ReturnState::Approved => Some(ReturnEvent::Approve),
        wire::ReturnState::Rejected => Some(ReturnEvent::Reject),
        wire::ReturnState::Received => Some(ReturnEvent::Receive),
        wire::ReturnState::Unspecified | wire::ReturnState::Requested | wire::ReturnState::Refunded => None,
    }
}

fn return_state(state: ReturnState) -> wire::ReturnState {
    match state {
        ReturnState::Requested => wire::ReturnState::Requested,
        ReturnState::Approved => wire::ReturnState::Approved,
        ReturnState::Received => wire::ReturnState::Received,
        ReturnState::Refunded => wire::ReturnState::Refunded,
        ReturnState::Rejected => wire::ReturnState::Rejected,
    }
}

fn item(order: &Order, units: Units) -> wire::LineItem {
    let line = &order.lines[units.line];
    wire::LineItem {
        sku_id: line.sku.to_string(),
        campaign_id: line.pool.campaign_id().to_owned(),
        quantity: units.quantity,
    }
}

fn line(line: &Line) -> wire::OrderLine {
    wire::OrderLine {
        sku_id: line.sku.to_string(),
        campaign_id: line.pool.campaign_id().to_owned(),
        quantity: line.quantity.get(),
        title: line.title.clone(),
        unit_price: Some(line.unit_price.into()),
        discount: Some(line.discount.into()),
        total: Some(line.total.into()),
    }
}

/// A filter by state, where unspecified means all.
pub fn state_filter(state: wire::OrderState) -> Option<OrderState> {
    OrderState::ALL.iter().copied().find(|known| self::state(*known) == state)
}

fn payment_filter(state: wire::OrderPaymentState) -> Option<PaymentState> {
    PaymentState::ALL.iter().copied().find(|known| payment_state(*known) == state)
}

/// What a list asks for.
///
/// # Errors
/// An instant outside the calendar.
pub fn list_query(request: wire::ListOrdersRequest) -> Result<Query, Error> {
    let sort = match request.sort() {
        wire::OrderSort::Unspecified | wire::OrderSort::NewestFirst => Sort::NewestFirst,
        wire::OrderSort::OldestFirst => Sort::OldestFirst,
    };
    Ok(Query {
        state: state_filter(request.state()),
        payment: payment_filter(request.payment_state()),
        from: limit("created_from", request.created_from.as_ref())?,
        to: limit("created_to", request.created_to.as_ref())?,
        sort,
        buyer: request.buyer_id,
        everybody: request.everybody,
        size: request.page_size,
        token: request.page_token,
    })
}

/// Orders are placed at whole microseconds: the first of them that is not before the instant means the same.
fn limit(field: &str, at: Option<&Timestamp>) -> Result<Option<OffsetDateTime>, Error> {
    let Some(at) = at else { return Ok(None) };
    let whole = stampede_proto::time(at).and_then(|at| at.checked_add(Duration::nanoseconds(999)));
    let whole = whole.filter(|at| (1..9999).contains(&at.year()));
    let whole = whole.and_then(|at| at.replace_microsecond(at.microsecond()).ok());
    let outside =
        || Error::Invalid { field: field.into(), rule: "must be an instant of the years 1 to 9998" };
    whole.map(Some).ok_or_else(outside)
}

pub fn state(state: OrderState) -> wire::OrderState {
    match state {
        OrderState::AwaitingPayment => wire::OrderState::AwaitingPayment,
        OrderState::Confirmed => wire::OrderState::Confirmed,
        OrderState::Fulfilling => wire::OrderState::Fulfilling,
        OrderState::Shipped => wire::OrderState::Shipped,
        OrderState::Delivered => wire::OrderState::Delivered,
        OrderState::Completed => wire::OrderState::Completed,
        OrderState::Rejected => wire::OrderState::Rejected,
        OrderState::Expired => wire::OrderState::Expired,
        OrderState::Cancelling => wire::OrderState::Cancelling,
        OrderState::Cancelled => wire::OrderState::Cancelled,
        OrderState::ManualReview => wire::OrderState::ManualReview,
    }
}

fn payment_state(state: PaymentState) -> wire::OrderPaymentState {
    match state {
        PaymentState::Unpaid => wire::OrderPaymentState::Unpaid,
        PaymentState::Pending => wire::OrderPaymentState::Pending,
        PaymentState::Authorized => wire::OrderPaymentState::Authorized,
        PaymentState::Paid => wire::OrderPaymentState::Paid,
        PaymentState::Voided => wire::OrderPaymentState::Voided,
        PaymentState::PartiallyRefunded => wire::OrderPaymentState::PartiallyRefunded,
        PaymentState::Refunded => wire::OrderPaymentState::Refunded,
    }
}

fn stock_state(state: StockState) -> wire::OrderStockState {
    match state {
        StockState::Held => wire::OrderStockState::Held,
        StockState::Committed => wire::OrderStockState::Committed,
        StockState::Released => wire::OrderStockState::Released,
        StockState::Returned => wire::OrderStockState::Returned,
    }
}

fn fulfilment_state(state: FulfilmentState) -> wire::OrderFulfilmentState {
    match state {
        FulfilmentState::None => wire::OrderFulfilmentState::None,
        FulfilmentState::PartiallyShipped => wire::OrderFulfilmentState::PartiallyShipped,
        FulfilmentState::Shipped => wire::OrderFulfilmentState::Shipped,
        FulfilmentState::Delivered => wire::OrderFulfilmentState::Delivered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_the_filter_that_names_it() {
        for known in OrderState::ALL {
            assert_eq!(state_filter(state(*known)), Some(*known));
        }
        assert_eq!(state_filter(wire::OrderState::Unspecified), None);
        for known in PaymentState::ALL {
            assert_eq!(payment_filter(payment_state(*known)), Some(*known));
        }
    }

    #[test]
    fn a_limit_between_two_microseconds_is_the_later_one_and_one_outside_the_calendar_is_refused() {
        let at = |nanos| Timestamp { seconds: 5, nanos };
        let micros = |at| limit("created_to", Some(&at)).unwrap().unwrap().nanosecond();
        assert_eq!((micros(at(1_000)), micros(at(1_001)), micros(at(1_999))), (1_000, 2_000, 2_000));
        for seconds in [i64::MAX, i64::MIN, 253_402_300_799] {
            assert!(limit("created_to", Some(&Timestamp { seconds, nanos: 0 })).is_err(), "{seconds}");
        }
    }
}
