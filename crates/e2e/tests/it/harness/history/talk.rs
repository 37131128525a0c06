//! Calls to one of several inventory processes over mTLS, and what their answers mean. It repeats nothing by itself.

use std::time::Duration;

use stampede_kit as kit;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::{
    AdjustStockRequest, CommitReservationRequest, DeductStockRequest, ExtendReservationRequest,
    GetReservationRequest, ReleaseReservationRequest, Reservation, ReservationLine, ReservationState,
    ReserveStockRequest, ReturnStockRequest, StockLevel, WatchStockRequest, WatchStockResponse,
};
use time::OffsetDateTime;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt as _;
use xtask::stack::Stack;
use xtask::token::Role;

use super::record::{Answer, Call, Cell, Level, State, Units, micros};
use crate::harness::stage;

/// A stream is watched for as long as a history may take.
const WATCH_FOR: Duration = Duration::from_secs(3_600);
/// Answers that do not tell whether the call was carried out. The last is a fault of ours.
pub const UNKNOWN: [&str; 4] = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", INTERNAL];
/// Asked again like the others, and excused only while a server is away.
pub const INTERNAL: &str = "INTERNAL";

/// A way to each process.
#[derive(Clone)]
pub struct Processes {
    clients: Vec<InventoryServiceClient<kit::client::Channel>>,
    bearer: stage::Bearer,
}

impl Processes {
    /// As the outside client, with a token of staff.
    pub fn of(stack: &Stack, names: &[String]) -> Self {
        let client = |name: &String| InventoryServiceClient::new(stage::channel(stack, name));
        let bearer = stage::bearer(stack, "history", Role::Staff);
        Self { clients: names.iter().map(client).collect(), bearer }
    }

    pub fn count(&self) -> usize {
        self.clients.len()
    }

    fn request<M>(&self, message: M, within: Duration) -> Request<M> {
        stage::request(&self.bearer, message, within)
    }

    fn said<M>(&self, message: M, again: bool, within: Duration) -> Request<M> {
        let mut request = self.request(message, within);
        if again {
            stage::said_before(request.metadata_mut());
        }
        request
    }

    /// Asks a process once. `again` tells it that somebody was asked before.
    pub async fn call(&self, process: usize, call: &Call, again: bool, within: Duration) -> Answer {
        self.ask(process, call, again, within).await.unwrap_or_else(|status| refused(&status))
    }

    async fn ask(
        &self,
        process: usize,
        call: &Call,
        again: bool,
        within: Duration,
    ) -> Result<Answer, Status> {
        let mut client = self.clients[process].clone();
        Ok(match call {
            Call::Demand { id, demand } => match (demand.hold_ms, demand.units.first_key_value()) {
                (Some(hold_ms), _) => {
                    let request = ReserveStockRequest {
                        reservation_id: id.to_string(),
                        buyer_id: demand.buyer.clone(),
                        lines: lines(&demand.units),
                        hold_ms,
                    };
                    reservation(client.reserve_stock(self.said(request, again, within)).await?.into_inner())
                }
                (None, first) => {
                    let (cell, units) = first.expect("a demand has a line");
                    let request = DeductStockRequest {
                        sku_id: cell.sku.clone(),
                        campaign_id: cell.campaign.clone(),
                        buyer_id: demand.buyer.clone(),
                        quantity: u32::try_from(*units).unwrap(),
                        deduction_id: id.to_string(),
                    };
                    let receipt = client.deduct_stock(self.said(request, again, within)).await?.into_inner();
                    Answer::Receipt { remaining: receipt.remaining, version: receipt.version }
                }
            },
            Call::Commit { id } => {
                let request =
                    CommitReservationRequest { reservation_id: id.to_string(), ..Default::default() };
                reservation(client.commit_reservation(self.request(request, within)).await?.into_inner())
            }
            Call::Release { id } => {
                let request =
                    ReleaseReservationRequest { reservation_id: id.to_string(), ..Default::default() };
                reservation(client.release_reservation(self.request(request, within)).await?.into_inner())
            }
            Call::Look { id } => {
                let request = GetReservationRequest { reservation_id: id.to_string() };
                reservation(client.get_reservation(self.request(request, within)).await?.into_inner())
            }
            Call::Extend { id, until } => {
                let until = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*until) * 1_000).unwrap();
                let expires_at = Some(stampede_proto::timestamp(until));
                let request = ExtendReservationRequest { reservation_id: id.to_string(), expires_at };
                reservation(client.extend_reservation(self.request(request, within)).await?.into_inner())
            }
            Call::Return { id, return_id, units } => {
                let request = ReturnStockRequest {
                    reservation_id: id.to_string(),
                    return_id: return_id.to_string(),
                    lines: lines(units),
                };
                let answer = client.return_stock(self.request(request, within)).await?.into_inner();
                Answer::Levels(answer.levels.into_iter().map(level).collect())
            }
            Call::Adjust { id, cell, delta } => {
                let request = AdjustStockRequest {
                    sku_id: cell.sku.clone(),
                    campaign_id: cell.campaign.clone(),
                    delta: *delta,
                    reason: "a history".to_owned(),
                    adjustment_id: id.to_string(),
                };
                Answer::Levels(vec![level(
                    client.adjust_stock(self.request(request, within)).await?.into_inner(),
                )])
            }
        })
    }

    /// Every level of these SKUs from where a token points, or from the beginning.
    pub async fn watch(
        &self,
        process: usize,
        skus: &[String],
        resume_token: String,
    ) -> Result<Streaming<WatchStockResponse>, Status> {
        let request = WatchStockRequest { sku_ids: skus.to_vec(), resume_token, ..Default::default() };
        let answer = self.clients[process].clone().watch_stock(self.request(request, WATCH_FOR)).await?;
        Ok(answer.into_inner())
    }
}

fn lines(units: &Units) -> Vec<ReservationLine> {
    let line = |(cell, units): (&Cell, &i64)| ReservationLine {
        sku_id: cell.sku.clone(),
        campaign_id: cell.campaign.clone(),
        quantity: u32::try_from(*units).unwrap(),
    };
    units.iter().map(line).collect()
}

fn reservation(answer: Reservation) -> Answer {
    let state = match answer.state() {
        ReservationState::Pending => State::Pending,
        ReservationState::Committed => State::Committed,
        ReservationState::Released => State::Released,
        ReservationState::Expired => State::Expired,
        ReservationState::Unspecified => panic!("a reservation without a state: {answer:?}"),
    };
    let expires_at = answer.expires_at.as_ref().map(|at| micros(stampede_proto::time(at).unwrap()));
    let mut units = Units::new();
    for line in answer.lines {
        *units.entry(Cell { campaign: line.campaign_id, sku: line.sku_id }).or_default() +=
            i64::from(line.quantity);
    }
    Answer::Reservation { state, buyer: answer.buyer_id, units, expires_at }
}

pub fn level(level: StockLevel) -> Level {
    Level {
        cell: Cell { campaign: level.campaign_id, sku: level.sku_id },
        on_hand: level.on_hand,
        held: level.held,
        committed: level.committed,
        free: level.free,
        version: level.version,
    }
}

fn refused(status: &Status) -> Answer {
    match kit::refusal::reason_of(status) {
        Some(reason) if !UNKNOWN.contains(&reason.as_str()) => {
            let state =
                status.get_details_error_info().and_then(|info| State::of_word(info.metadata.get("state")?));
            Answer::Refused { reason, state }
        }
        Some(reason) => Answer::Unknown(reason),
        None => Answer::Unknown(format!("{status:?}")),
    }
}
