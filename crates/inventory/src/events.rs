//! The events of inventory: what has been committed, for whoever listens. They go to the outbox in the transaction that made
//! them true.

use prost::Message as _;
use stampede_kit::outbox::NewEvent;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::{
    CampaignCreated, Event, SkuCreated, StockAdjusted, StockCommitted, StockDeducted, StockExpired,
    StockHeld, StockReleased, StockReturned,
};
use stampede_proto::timestamp;
use stampede_types::{CampaignId, ReservationId, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{CellKey, Changes, Level, Line, Reservation, ReservationKind, ReservationState};
use crate::wire;

/// One event for each reservation made or resolved.
pub fn of(changes: &Changes, at: OffsetDateTime) -> Vec<NewEvent> {
    let made = changes.made.iter().filter_map(|reservation| made(reservation, at));
    let resolved = changes.resolved.iter().filter_map(|(id, state)| resolved(*id, *state, at));
    made.chain(resolved).collect()
}

pub fn returned(id: ReservationId, return_id: Uuid, lines: &[Line], at: OffsetDateTime) -> NewEvent {
    let fact = StockReturned {
        reservation_id: id.to_string(),
        return_id: return_id.to_string(),
        lines: lines.iter().map(wire::line).collect(),
    };
    event("returned", id.to_string(), Fact::StockReturned(fact), at)
}

pub fn adjusted(cell: &CellKey, level: &Level, delta: i64, reason: &str, at: OffsetDateTime) -> NewEvent {
    let fact = StockAdjusted { level: Some(wire::level(cell, level)), delta, reason: reason.to_owned() };
    event("adjusted", cell.sku.to_string(), Fact::StockAdjusted(fact), at)
}

pub fn sku_created(sku: &SkuId, at: OffsetDateTime) -> NewEvent {
    event("sku_created", sku.to_string(), Fact::SkuCreated(SkuCreated { sku_id: sku.to_string() }), at)
}

pub fn campaign_created(id: &CampaignId, at: OffsetDateTime) -> NewEvent {
    let fact = CampaignCreated { campaign_id: id.to_string() };
    event("campaign_created", id.to_string(), Fact::CampaignCreated(fact), at)
}

fn made(reservation: &Reservation, at: OffsetDateTime) -> Option<NewEvent> {
    let key = reservation.id.to_string();
    match reservation.kind {
        ReservationKind::Hold => {
            let fact = StockHeld { reservation: Some(wire::reservation(reservation)) };
            Some(event("held", key, Fact::StockHeld(fact), at))
        }
        ReservationKind::Deduction => {
            let fact = StockDeducted {
                deduction_id: key.clone(),
                buyer_id: reservation.buyer.as_ref().map(ToString::to_string).unwrap_or_default(),
                line: reservation.lines.first().map(wire::line),
            };
            Some(event("deducted", key, Fact::StockDeducted(fact), at))
        }
        // Nothing was held, so nobody has anything to hear.
        ReservationKind::Nothing => None,
    }
}

fn resolved(id: ReservationId, state: ReservationState, at: OffsetDateTime) -> Option<NewEvent> {
    let reservation_id = id.to_string();
    let key = reservation_id.clone();
    match state {
        ReservationState::Pending => None,
        ReservationState::Committed => {
            Some(event("committed", key, Fact::StockCommitted(StockCommitted { reservation_id }), at))
        }
        ReservationState::Released => {
            Some(event("released", key, Fact::StockReleased(StockReleased { reservation_id }), at))
        }
        ReservationState::Expired => {
            Some(event("expired", key, Fact::StockExpired(StockExpired { reservation_id }), at))
        }
    }
}

fn event(fact_name: &str, key: String, fact: Fact, at: OffsetDateTime) -> NewEvent {
    let id = Uuid::now_v7();
    let event = Event {
        event_id: id.to_string(),
        key: key.clone(),
        occurred_at: Some(timestamp(at)),
        fact: Some(fact),
    };
    NewEvent { id, subject: format!("inventory.{fact_name}"), key, payload: event.encode_to_vec() }
}
