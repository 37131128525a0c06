//! What is recorded of an order's history: every call with its answer and the order as it was told. Nothing here knows a rule.

mod calls;
mod show;

use std::collections::BTreeMap;

use stampede_proto::order::v1::{
    LineItem, Order, OrderFulfilmentState, OrderPaymentState, OrderReturn, OrderState, OrderStockState,
    ReturnState,
};
use uuid::Uuid;

use super::model::card::Card;
use crate::harness::history::record::{self, Cell, Micros, Units, micros};

pub use calls::{Answer, Call, Verdict};

pub type Invocation = record::Invocation<Call, Answer>;
pub type Recorder = record::Recorder<Call, Answer>;

/// The three states that a saga moves. The warehouse's follows from the order's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    pub state: OrderState,
    pub payment: OrderPaymentState,
    pub stock: OrderStockState,
}

/// Units that left together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub units: Units,
    pub arrived: bool,
}

/// A return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    pub id: Uuid,
    pub state: ReturnState,
    pub units: Units,
    pub refund: Option<i64>,
    pub restock: bool,
}

/// An order as somebody was told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub id: Uuid,
    pub version: i64,
    pub standing: Standing,
    pub fulfilment: OrderFulfilmentState,
    pub units: Units,
    /// Promotions and what they took off, by id.
    pub promotions: BTreeMap<String, i64>,
    pub total: i64,
    pub refunded: i64,
    pub parcels: BTreeMap<Uuid, Parcel>,
    pub backs: BTreeMap<Uuid, Back>,
    pub decline: String,
    /// Why it ended, where its states do not say it.
    pub end_reason: String,
    pub payment: Option<Uuid>,
    pub reservation: Uuid,
    pub expires_at: Micros,
}

/// One order from its first call to its last: what one buyer, and staff, did about it.
#[derive(Debug, Clone)]
pub struct Life {
    pub number: u64,
    pub buyer: String,
    /// In the order in which they began.
    pub calls: Vec<Invocation>,
}

impl Life {
    /// What the buyer's bank sent back, with when it began: payment and minor units.
    pub fn came_back(&self) -> impl Iterator<Item = (Micros, Uuid, i64)> {
        self.calls.iter().filter_map(|call| {
            let Answer::CameBack { payment, amount } = call.answer else { return None };
            Some((call.begun, payment, amount))
        })
    }

    /// The order as it was last told: the highest version.
    pub fn last(&self) -> Option<&View> {
        self.calls.iter().filter_map(|call| call.answer.view()).max_by_key(|view| view.version)
    }

    /// Cards with which somebody began to pay before then.
    pub fn cards(&self, before: Micros) -> impl Iterator<Item = &'static Card> {
        self.calls.iter().filter(move |call| call.begun <= before).filter_map(|call| {
            let Call::Pay { card } = call.call else { return None };
            Some(card)
        })
    }
}

impl View {
    pub fn of(order: &Order) -> Self {
        let minor = |money: &Option<stampede_proto::common::v1::Money>| {
            money.as_ref().map_or(0, |money| money.amount_minor)
        };
        let id = |text: &str| text.parse().unwrap();
        let parcels = order.shipments.iter().map(|shipment| {
            let parcel = Parcel { units: units(&shipment.lines), arrived: shipment.delivered_at.is_some() };
            (id(&shipment.shipment_id), parcel)
        });
        let mut bought = Units::new();
        for line in &order.lines {
            *bought.entry(cell(&line.sku_id, &line.campaign_id)).or_default() += i64::from(line.quantity);
        }
        let promotions =
            order.promotions.iter().map(|used| (used.promotion_id.clone(), minor(&used.discount)));
        Self {
            id: id(&order.order_id),
            version: order.version,
            standing: Standing {
                state: order.state(),
                payment: order.payment_state(),
                stock: order.stock_state(),
            },
            fulfilment: order.fulfilment_state(),
            units: bought,
            promotions: promotions.collect(),
            total: minor(&order.total),
            refunded: minor(&order.refunded),
            parcels: parcels.collect(),
            backs: order.returns.iter().map(Back::of).map(|back| (back.id, back)).collect(),
            decline: order.decline.clone(),
            end_reason: order.end_reason.clone(),
            payment: (!order.payment_id.is_empty()).then(|| id(&order.payment_id)),
            reservation: id(&order.reservation_id),
            expires_at: order.expires_at.as_ref().and_then(stampede_proto::time).map(micros).unwrap(),
        }
    }

    /// Units that left with these parcels.
    pub fn shipped(&self, counts: impl Fn(&Parcel) -> bool) -> Units {
        sum(self.parcels.values().filter(|parcel| counts(parcel)).map(|parcel| &parcel.units))
    }

    /// Units that came back, or may.
    pub fn spoken_for(&self) -> Units {
        sum(self.backs.values().filter(|back| back.state != ReturnState::Rejected).map(|back| &back.units))
    }
}

impl Back {
    pub fn of(back: &OrderReturn) -> Self {
        Self {
            id: back.return_id.parse().unwrap(),
            state: back.state(),
            units: units(&back.lines),
            refund: back.refund.as_ref().map(|money| money.amount_minor),
            restock: back.restock,
        }
    }
}

pub fn cell(sku: &str, campaign: &str) -> Cell {
    Cell { campaign: campaign.to_owned(), sku: sku.to_owned() }
}

fn units(lines: &[LineItem]) -> Units {
    let mut units = Units::new();
    for line in lines {
        *units.entry(cell(&line.sku_id, &line.campaign_id)).or_default() += i64::from(line.quantity);
    }
    units
}

pub fn lines(units: &Units) -> Vec<LineItem> {
    let line = |(cell, units): (&Cell, &i64)| LineItem {
        sku_id: cell.sku.clone(),
        campaign_id: cell.campaign.clone(),
        quantity: u32::try_from(*units).unwrap(),
    };
    units.iter().map(line).collect()
}

pub fn sum<'a>(all: impl Iterator<Item = &'a Units>) -> Units {
    let mut sum = Units::new();
    for (cell, units) in all.flatten() {
        *sum.entry(cell.clone()).or_default() += units;
    }
    sum
}

/// What is left of `all` without `gone`; nothing is less than nothing.
pub fn without(all: &Units, gone: &Units) -> Units {
    let left = |(cell, units): (&Cell, &i64)| (cell.clone(), units - gone.get(cell).copied().unwrap_or(0));
    all.iter().map(left).filter(|(_, units)| *units > 0).collect()
}
