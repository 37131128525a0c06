//! A peer that plays inventory: prices, holds that resolve once, returns that happen once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use stampede_kit::Refusal;
use stampede_proto::common::v1::{ErrorReason, Money};
use stampede_proto::inventory::v1::{
    CampaignItem, Reservation, ReservationState, ReserveStockRequest, ReturnStockRequest, Sku,
};
use stampede_proto::timestamp;
use time::OffsetDateTime;
use tonic::Status;

use crate::trouble::Trouble;

#[derive(Clone, Default)]
pub struct Warehouse {
    pub trouble: Trouble,
    pub floor: Arc<Mutex<Floor>>,
}

#[derive(Default)]
pub struct Floor {
    pub skus: HashMap<String, Sku>,
    pub campaigns: HashMap<String, Vec<CampaignItem>>,
    pub holds: HashMap<String, Reservation>,
    /// By return id: what came back.
    pub returns: HashMap<String, ReturnStockRequest>,
    pub sold_out: bool,
    /// Nothing of these is left.
    pub run_out: HashSet<String>,
    /// How long ago what is held now was held: as if the test had begun then.
    pub made_ago: std::time::Duration,
    /// Nobody gets an answer about these holds.
    pub silent: HashSet<String>,
}

impl Warehouse {
    pub fn sells(&self, sku: &str, amount_minor: i64, currency: &str) {
        let price = Some(Money { amount_minor, currency: currency.into() });
        let sku = Sku { sku_id: sku.into(), title: format!("The {sku}"), price, created_at: None };
        self.floor.lock().unwrap().skus.insert(sku.sku_id.clone(), sku);
    }

    pub fn flash(&self, campaign: &str, sku: &str, amount_minor: i64) {
        let price = Some(Money { amount_minor, currency: "EUR".into() });
        let item = CampaignItem { sku_id: sku.into(), price, units: 10, per_buyer_limit: 1, free: 10 };
        self.floor.lock().unwrap().campaigns.entry(campaign.into()).or_default().push(item);
    }

    pub fn sell_out(&self) {
        self.floor.lock().unwrap().sold_out = true;
    }

    pub fn run_out(&self, sku: &str) {
        self.floor.lock().unwrap().run_out.insert(sku.into());
    }

    pub fn hold(&self, id: &str) -> Option<ReservationState> {
        self.floor.lock().unwrap().holds.get(id).map(Reservation::state)
    }

    pub fn expire(&self, id: &str) {
        self.floor.lock().unwrap().holds.get_mut(id).unwrap().set_state(ReservationState::Expired);
    }

    /// Units of this SKU that came back by name.
    pub fn returned(&self, sku: &str) -> u32 {
        let floor = self.floor.lock().unwrap();
        let lines = floor.returns.values().flat_map(|back| &back.lines);
        lines.filter(|line| line.sku_id == sku).map(|line| line.quantity).sum()
    }

    /// Reservations whose units came back.
    pub fn returned_of(&self) -> Vec<String> {
        self.floor.lock().unwrap().returns.values().map(|back| back.reservation_id.clone()).collect()
    }

    pub fn returns(&self) -> usize {
        self.floor.lock().unwrap().returns.len()
    }
}

impl Floor {
    pub fn reserve(
        &mut self,
        request: ReserveStockRequest,
        now: OffsetDateTime,
    ) -> Result<Reservation, Status> {
        if let Some(there) = self.holds.get(&request.reservation_id) {
            if there.buyer_id == request.buyer_id {
                match there.state() {
                    ReservationState::Released => return Err(resolved("RELEASED")),
                    ReservationState::Expired => return Err(resolved("EXPIRED")),
                    ReservationState::Pending
                    | ReservationState::Committed
                    | ReservationState::Unspecified => {}
                }
            }
            let same = there.lines == request.lines && there.buyer_id == request.buyer_id;
            return if same {
                Ok(there.clone())
            } else {
                Err(refusal(ErrorReason::ReservationConflict).into())
            };
        }
        if self.sold_out {
            let first = request.lines[0].sku_id.clone();
            return Err(refusal(ErrorReason::OutOfStock).metadata("sku_id", first).into());
        }
        if let Some(line) = request.lines.iter().find(|line| self.run_out.contains(&line.sku_id)) {
            return Err(refusal(ErrorReason::OutOfStock).metadata("sku_id", line.sku_id.as_str()).into());
        }
        let ends = now + std::time::Duration::from_millis(request.hold_ms.into());
        let hold = Reservation {
            reservation_id: request.reservation_id,
            buyer_id: request.buyer_id,
            state: ReservationState::Pending.into(),
            lines: request.lines,
            expires_at: Some(timestamp(ends)),
            created_at: Some(timestamp(now - self.made_ago)),
            asked: Vec::new(),
        };
        self.holds.insert(hold.reservation_id.clone(), hold.clone());
        Ok(hold)
    }

    pub fn commit(&mut self, id: &str) -> Result<Reservation, Status> {
        let hold = self.holds.get_mut(id).ok_or_else(|| refusal(ErrorReason::ReservationNotFound))?;
        match hold.state() {
            ReservationState::Pending => hold.set_state(ReservationState::Committed),
            ReservationState::Committed => {}
            ReservationState::Released => return Err(resolved("RELEASED")),
            ReservationState::Expired => return Err(resolved("EXPIRED")),
            ReservationState::Unspecified => unreachable!("a hold has a state"),
        }
        Ok(hold.clone())
    }

    pub fn release(&mut self, id: &str) -> Result<Reservation, Status> {
        if self.silent.contains(id) {
            return Err(Status::unavailable("its cell is held"));
        }
        let hold = self.holds.get_mut(id).ok_or_else(|| refusal(ErrorReason::ReservationNotFound))?;
        match hold.state() {
            ReservationState::Pending => hold.set_state(ReservationState::Released),
            ReservationState::Released | ReservationState::Expired => {}
            ReservationState::Committed => return Err(resolved("COMMITTED")),
            ReservationState::Unspecified => unreachable!("a hold has a state"),
        }
        Ok(hold.clone())
    }

    pub fn take_back(&mut self, request: ReturnStockRequest) {
        let there = self.returns.entry(request.return_id.clone()).or_insert_with(|| request.clone());
        assert_eq!(*there, request, "one return id is one return");
    }
}

pub fn refusal(reason: ErrorReason) -> Refusal {
    let declared = reason.declared();
    Refusal::new(declared.code, declared.word, declared.en)
}

fn resolved(state: &str) -> Status {
    refusal(ErrorReason::ReservationResolved).metadata("state", state).into()
}
