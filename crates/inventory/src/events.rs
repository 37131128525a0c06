//! The events of inventory: what has been committed, for whoever listens. They go to the outbox in the transaction that made
//! them true.

use prost::Message as _;
use stampede_kit::outbox::NewEvent;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::event::v1::stock_move::Move;
use stampede_proto::event::v1::{
    BackorderSet, CampaignClosed, CampaignCreated, Event, SkuCreated, SkuUpdated, SkusImported,
    StockAdjusted, StockCommitted, StockDeducted, StockExpired, StockHeld, StockMove, StockMoved,
    StockReleased, StockReturned,
};
use stampede_proto::timestamp;
use stampede_types::{CampaignId, ReservationId, SkuId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{
    CellKey, Changes, Ended, Level, Line, Reservation, ReservationKind, ReservationState, Shrunk,
};
use crate::wire;

/// The key of every movement's event: they are published in the order of their transactions.
const MOVED: &str = "stock";
/// Moves of one event end at about this size, well below what an event may have.
const MOVED_BYTES: usize = 256 * 1024;

/// Everything that was made or ended, in as few events as their size allows.
pub fn of(changes: &Changes, at: OffsetDateTime) -> Vec<NewEvent> {
    let made = changes.made.iter().filter_map(made).chain(changes.shrunk.iter().map(shrunk));
    let ended = changes.ended.iter().filter_map(ended);
    let mut events = Vec::new();
    let (mut moves, mut bytes) = (Vec::new(), 0);
    for moved in made.chain(ended) {
        bytes += moved.encoded_len();
        moves.push(moved);
        if bytes >= MOVED_BYTES {
            events.push(moved_event(std::mem::take(&mut moves), at));
            bytes = 0;
        }
    }
    if !moves.is_empty() {
        events.push(moved_event(moves, at));
    }
    events
}

fn moved_event(moves: Vec<StockMove>, at: OffsetDateTime) -> NewEvent {
    event("moved", MOVED.to_owned(), Fact::StockMoved(StockMoved { moves }), at)
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

pub fn backorder_set(cell: &CellKey, level: &Level, at: OffsetDateTime) -> NewEvent {
    let fact = BackorderSet { level: Some(wire::level(cell, level)) };
    event("backorder_set", cell.sku.to_string(), Fact::BackorderSet(fact), at)
}

pub fn sku_created(sku: &SkuId, at: OffsetDateTime) -> NewEvent {
    event("sku_created", sku.to_string(), Fact::SkuCreated(SkuCreated { sku_id: sku.to_string() }), at)
}

pub fn sku_updated(sku: &SkuId, at: OffsetDateTime) -> NewEvent {
    event("sku_updated", sku.to_string(), Fact::SkuUpdated(SkuUpdated { sku_id: sku.to_string() }), at)
}

pub fn skus_imported(import_id: Uuid, sku_ids: Vec<String>, at: OffsetDateTime) -> NewEvent {
    let key = import_id.to_string();
    event("skus_imported", key.clone(), Fact::SkusImported(SkusImported { import_id: key, sku_ids }), at)
}

pub fn campaign_closed(id: &CampaignId, at: OffsetDateTime) -> NewEvent {
    let fact = CampaignClosed { campaign_id: id.to_string() };
    event("campaign_closed", id.to_string(), Fact::CampaignClosed(fact), at)
}

pub fn campaign_created(id: &CampaignId, at: OffsetDateTime) -> NewEvent {
    let fact = CampaignCreated { campaign_id: id.to_string() };
    event("campaign_created", id.to_string(), Fact::CampaignCreated(fact), at)
}

fn made(reservation: &Reservation) -> Option<StockMove> {
    let made = match reservation.kind {
        ReservationKind::Hold => Move::Held(StockHeld { reservation: Some(wire::reservation(reservation)) }),
        ReservationKind::Deduction => Move::Deducted(StockDeducted {
            deduction_id: reservation.id.to_string(),
            buyer_id: reservation.buyer.as_ref().map(ToString::to_string).unwrap_or_default(),
            line: reservation.lines.first().map(wire::line),
        }),
        // Nothing was held, so nobody has anything to hear.
        ReservationKind::Nothing => return None,
    };
    Some(StockMove { r#move: Some(made) })
}

fn shrunk(shrunk: &Shrunk) -> StockMove {
    let kept = wire::lines(&shrunk.lines);
    let released = StockReleased { reservation_id: shrunk.id.to_string(), kept };
    StockMove { r#move: Some(Move::Released(released)) }
}

fn ended(ended: &Ended) -> Option<StockMove> {
    let reservation_id = ended.id.to_string();
    let ended = match ended.state {
        ReservationState::Pending => return None,
        ReservationState::Committed => Move::Committed(StockCommitted {
            reservation_id,
            lines: ended.lines.as_deref().map(wire::lines).unwrap_or_default(),
        }),
        ReservationState::Released => Move::Released(StockReleased { reservation_id, kept: Vec::new() }),
        ReservationState::Expired => Move::Expired(StockExpired { reservation_id }),
    };
    Some(StockMove { r#move: Some(ended) })
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
