//! What a request for a reservation asks, and what is named of one, from the wire.

use stampede_proto::inventory::v1::{ReservationLine, ReserveStockRequest};
use stampede_types::{BuyerId, ReservationId};
use time::Duration;

use super::parse;
use crate::domain::books::summed;
use crate::domain::{Denied, Line};
use crate::error::{Error, Violation};

/// How long a hold lasts when the caller does not say.
const HOLD: Duration = Duration::minutes(15);

pub struct Asked {
    pub id: ReservationId,
    pub buyer: BuyerId,
    pub hold: Duration,
    pub lines: Vec<Line>,
}

impl Asked {
    pub fn parse(request: &ReserveStockRequest) -> Result<Self, Error> {
        if request.lines.is_empty() {
            return Err(Violation::new("lines", "must have 1 or more").into());
        }
        Ok(Self {
            id: id(&request.reservation_id)?,
            buyer: parse::text("buyer_id", &request.buyer_id)?,
            hold: match request.hold_ms {
                0 => HOLD,
                millis => Duration::milliseconds(millis.into()),
            },
            lines: parse::lines("lines", &request.lines)?,
        })
    }
}

pub fn id(text: &str) -> Result<ReservationId, Error> {
    Ok(parse::uuid("reservation_id", text).map(ReservationId::new)?)
}

/// What is sold or kept of a reservation, one line a cell.
pub fn part(field: &str, lines: &[ReservationLine]) -> Result<Vec<Line>, Error> {
    Ok(summed(parse::lines(field, lines)?))
}

/// A refusal of one line by the caller's name of it.
pub fn named(field: &str, lines: &[ReservationLine], error: Error) -> Error {
    let Error::Denied(Denied::NotThatMuch { cell, most }) = &error else { return error };
    let is_it = |line: &ReservationLine| {
        line.sku_id == cell.sku.as_str() && line.campaign_id == cell.pool.campaign_id()
    };
    let at = lines.iter().position(is_it).unwrap_or_default();
    let why = format!("must be at most {most}, which is all there is of it");
    Violation::new(format!("{field}[{at}].quantity"), why).into()
}
