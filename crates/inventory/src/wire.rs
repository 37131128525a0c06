//! The domain's values as they travel. It never reads a request: that is `grpc::parse`.

use stampede_proto::inventory::v1;
use stampede_proto::timestamp;

use crate::domain::campaign::CampaignState;
use crate::domain::{CellKey, Level, Line, Reservation, ReservationState};
use crate::store::campaigns::Found;
use crate::store::skus::Sku;

pub fn level(cell: &CellKey, level: &Level) -> v1::StockLevel {
    v1::StockLevel {
        sku_id: cell.sku.to_string(),
        campaign_id: cell.pool.campaign_id().to_owned(),
        on_hand: level.on_hand,
        held: level.held,
        committed: level.committed,
        free: level.available(),
        version: level.version,
        backorder: level.backorder,
    }
}

pub fn line(line: &Line) -> v1::ReservationLine {
    v1::ReservationLine {
        sku_id: line.cell.sku.to_string(),
        campaign_id: line.cell.pool.campaign_id().to_owned(),
        quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX),
    }
}

/// Without those of which nothing is left.
pub fn lines(lines: &[Line]) -> Vec<v1::ReservationLine> {
    lines.iter().filter(|left| left.quantity > 0).map(line).collect()
}

pub const fn reservation_state(state: ReservationState) -> v1::ReservationState {
    match state {
        ReservationState::Pending => v1::ReservationState::Pending,
        ReservationState::Committed => v1::ReservationState::Committed,
        ReservationState::Released => v1::ReservationState::Released,
        ReservationState::Expired => v1::ReservationState::Expired,
    }
}

pub fn reservation(reservation: &Reservation) -> v1::Reservation {
    v1::Reservation {
        reservation_id: reservation.id.to_string(),
        buyer_id: reservation.buyer.as_ref().map(ToString::to_string).unwrap_or_default(),
        state: reservation_state(reservation.state).into(),
        lines: lines(&reservation.lines),
        expires_at: reservation.expires_at.map(timestamp),
        created_at: Some(timestamp(reservation.created_at)),
        asked: if reservation.lines == reservation.asked { Vec::new() } else { lines(&reservation.asked) },
    }
}

pub fn sku(sku: Sku) -> v1::Sku {
    v1::Sku {
        sku_id: sku.id.to_string(),
        title: sku.title,
        price: Some(sku.price.into()),
        created_at: Some(timestamp(sku.created_at)),
    }
}

pub const fn campaign_state(state: CampaignState) -> v1::CampaignState {
    match state {
        CampaignState::Planned => v1::CampaignState::Planned,
        CampaignState::Open => v1::CampaignState::Open,
        CampaignState::Closed => v1::CampaignState::Closed,
    }
}

pub fn campaign(found: Found) -> v1::Campaign {
    let items = found.items.into_iter().map(|standing| v1::CampaignItem {
        sku_id: standing.item.sku.to_string(),
        price: Some(standing.item.price.into()),
        units: standing.item.units,
        per_buyer_limit: u32::try_from(standing.item.per_buyer_limit).unwrap_or(u32::MAX),
        free: standing.free,
    });
    v1::Campaign {
        campaign_id: found.id.to_string(),
        title: found.title,
        opens_at: Some(timestamp(found.window.opens_at)),
        closes_at: Some(timestamp(found.window.closes_at)),
        items: items.collect(),
        state: campaign_state(found.window.state(found.now)).into(),
    }
}
