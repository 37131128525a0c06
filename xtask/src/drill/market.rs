//! The buyers' side of inventory's gRPC. Every call carries an id and is repeated with the same id until its answer is known;
//! what was answered is written down. It never judges.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stampede_kit as kit;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::{
    CommitReservationRequest, DeductStockRequest, ReleaseReservationRequest, ReservationLine,
    ReservationState, ReserveStockRequest,
};
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Request, Status};

use super::answer::{self, Refusal};
use super::plan::CONNECTIONS;
use super::sale::{CAMPAIGN, PLENTY, SKUS};
use super::shop::Shop;
use super::told::{Fate, Intent, Purchase, Told};

/// An answer that takes longer is asked for again.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// After this an answer is never going to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough to survive the fault, so that a hold meant to be bought is bought.
const HOLD_MS: u32 = 120_000;
const FORGOTTEN_HOLD_MS: u32 = 1_000;
/// Answers of one purchase that are remembered for whoever looks for a fault.
const TRAIL: usize = 40;
/// The longest a buyer thinks between holding and deciding.
const THINKS_AT_MOST_MS: u64 = 200;

type Client = InventoryServiceClient<kit::client::Channel>;

/// Where buyers stand, and what they have been told.
pub struct Market {
    /// Deductions are the outside client's, reservations the order service's: each is trusted with its own.
    deducting: Vec<Client>,
    reserving: Vec<Client>,
    told: Mutex<Told>,
    opened: Instant,
}

/// One call; the same one again is the same command.
#[derive(Debug, Clone, Copy)]
enum Call {
    Deduct,
    /// For so many milliseconds.
    Hold(u32),
    Commit,
    Release,
}

/// A yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yes {
    Deducted { remaining: i64, version: i64 },
    Reservation(ReservationState),
}

/// What is known of a call in the end.
enum Known {
    Yes(Yes),
    No(String),
    Nothing,
}

impl Market {
    pub fn open(shop: &Shop) -> anyhow::Result<Market> {
        let clients = |name| -> anyhow::Result<Vec<Client>> {
            Ok(shop.channels(name, CONNECTIONS)?.into_iter().map(Client::new).collect())
        };
        let (deducting, reserving) = (clients("client")?, clients("order")?);
        Ok(Market { deducting, reserving, told: Mutex::default(), opened: Instant::now() })
    }

    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a purchase to its end and writes it down.
    pub async fn serve(&self, mut purchase: Purchase) -> Fate {
        purchase.fate = match purchase.intent {
            Intent::Deduct => self.deduct(&mut purchase).await,
            Intent::Buy => self.hold(&mut purchase, Call::Hold(HOLD_MS), Some(Call::Commit)).await,
            Intent::GiveBack => self.hold(&mut purchase, Call::Hold(HOLD_MS), Some(Call::Release)).await,
            Intent::Forget => self.hold(&mut purchase, Call::Hold(FORGOTTEN_HOLD_MS), None).await,
        };
        let fate = purchase.fate;
        self.told().purchases.push(purchase);
        fate
    }

    /// Asks once more for what was sold: the answer must be the one that was given.
    pub async fn repeat(&self, mut purchase: Purchase) {
        let call = match purchase.intent {
            Intent::Deduct => Call::Deduct,
            Intent::Buy | Intent::GiveBack | Intent::Forget => Call::Commit,
        };
        // Not its first attempt: that one was answered long ago.
        let known = self.until_known(&mut purchase, call, 1).await;
        let same = match known {
            Known::Yes(Yes::Deducted { remaining, version }) => {
                purchase.receipt == Some((remaining, version))
            }
            Known::Yes(Yes::Reservation(state)) => state == ReservationState::Committed,
            Known::No(_) | Known::Nothing => false,
        };
        if same {
            return;
        }
        let mut told = self.told();
        told.changed.push(purchase.id);
        if let Some(known) = told.purchases.iter_mut().find(|known| known.id == purchase.id) {
            known.trail = purchase.trail;
        }
    }

    async fn deduct(&self, purchase: &mut Purchase) -> Fate {
        match self.until_known(purchase, Call::Deduct, 0).await {
            Known::Yes(Yes::Deducted { remaining, version }) => {
                purchase.taken = true;
                purchase.receipt = Some((remaining, version));
                self.told().times.accept(Instant::now());
                Fate::Sold
            }
            Known::No(reason) if reason == "RESERVATION_RESOLVED" => self.unclear("a deduction has ended"),
            Known::No(_) => Fate::Refused,
            Known::Yes(Yes::Reservation(_)) | Known::Nothing => Fate::Unknown,
        }
    }

    /// Holds, thinks, and ends the hold by `then`; without it the hold ends by itself.
    async fn hold(&self, purchase: &mut Purchase, hold: Call, then: Option<Call>) -> Fate {
        match self.until_known(purchase, hold, 0).await {
            Known::Yes(Yes::Reservation(ReservationState::Pending)) => {}
            // Its first answer was lost, and it ran out before it was asked for again.
            Known::No(reason) if reason == "RESERVATION_RESOLVED" => return Fate::Returned,
            Known::No(_) => return Fate::Refused,
            Known::Yes(_) => return self.unclear("a new hold is not pending"),
            Known::Nothing => return Fate::Unknown,
        }
        purchase.taken = true;
        self.told().times.accept(Instant::now());
        let Some(then) = then else { return Fate::Returned };
        let thinks = purchase.id.as_u128() as u64 % THINKS_AT_MOST_MS;
        tokio::time::sleep(Duration::from_millis(thinks)).await;
        match self.until_known(purchase, then, 0).await {
            Known::Yes(Yes::Reservation(ReservationState::Committed)) => Fate::Sold,
            Known::Yes(Yes::Reservation(ReservationState::Released | ReservationState::Expired)) => {
                Fate::Returned
            }
            Known::No(reason) if reason == "RESERVATION_RESOLVED" => Fate::Returned,
            Known::No(reason) => self.unclear(&format!("{reason} to the end of a hold")),
            Known::Yes(_) => self.unclear("an ended hold is pending"),
            Known::Nothing => Fate::Unknown,
        }
    }

    fn unclear(&self, what: &str) -> Fate {
        self.told().count_unclear(what);
        Fate::Unknown
    }

    async fn until_known(&self, purchase: &mut Purchase, call: Call, first_attempt: usize) -> Known {
        let began = Instant::now();
        for attempt in first_attempt.. {
            let answer = self.ask(purchase, call, attempt).await.map_err(|status| answer::read(&status));
            if purchase.trail.len() < TRAIL {
                let at = self.opened.elapsed().as_millis();
                purchase.trail.push(format!("{at} ms: {call:?} {attempt}: {answer:?}"));
            }
            let refusal = match answer {
                Ok(yes) => return Known::Yes(yes),
                Err(refusal) => refusal,
            };
            self.write_down(purchase, &refusal);
            let Some(pause) = refusal.pause() else {
                let Refusal::No { reason } = refusal else { return Known::Nothing };
                return Known::No(reason);
            };
            if began.elapsed() > PATIENCE {
                return Known::Nothing;
            }
            tokio::time::sleep(pause).await;
        }
        Known::Nothing
    }

    fn write_down(&self, purchase: &Purchase, refusal: &Refusal) {
        let mut told = self.told();
        match refusal {
            Refusal::No { reason } => {
                let only_plenty = purchase.lines.iter().all(|line| line.sku == PLENTY);
                if reason == "OUT_OF_STOCK" && only_plenty && !told.times.is_over() {
                    told.false_sold_out += 1;
                }
                told.count(reason);
            }
            Refusal::Later { reason, .. } => told.count(reason),
            Refusal::Lost => {
                told.lost += 1;
                told.count("connection lost");
            }
            Refusal::Unclear(what) => {
                told.count(what);
                told.count_unclear(what);
            }
        }
    }

    /// Every attempt takes another connection: one of them may lead to a process that is gone.
    async fn ask(&self, purchase: &Purchase, call: Call, attempt: usize) -> Result<Yes, Status> {
        let id = purchase.id.to_string();
        let turn = purchase.id.as_u128() as usize;
        let at = |clients: &[Client]| clients[turn.wrapping_add(attempt) % clients.len()].clone();
        match call {
            Call::Deduct => {
                let wanted = request(deduction(purchase, id), attempt);
                let answer = at(&self.deducting).deduct_stock(wanted).await?.into_inner();
                Ok(Yes::Deducted { remaining: answer.remaining, version: answer.version })
            }
            Call::Hold(hold_ms) => {
                let wanted = request(reservation(purchase, id, hold_ms), attempt);
                Ok(Yes::Reservation(at(&self.reserving).reserve_stock(wanted).await?.get_ref().state()))
            }
            Call::Commit => {
                let wanted = CommitReservationRequest { reservation_id: id, ..Default::default() };
                let wanted = request(wanted, attempt);
                Ok(Yes::Reservation(at(&self.reserving).commit_reservation(wanted).await?.get_ref().state()))
            }
            Call::Release => {
                let wanted = ReleaseReservationRequest { reservation_id: id, ..Default::default() };
                let wanted = request(wanted, attempt);
                Ok(Yes::Reservation(at(&self.reserving).release_reservation(wanted).await?.get_ref().state()))
            }
        }
    }
}

/// A call that says how often it was made before (gRFC A6), as every retrying client's does.
fn request<M>(message: M, attempt: usize) -> Request<M> {
    let mut request = kit::client::request(message, ANSWER_WITHIN);
    if attempt > 0 {
        let attempts = MetadataValue::try_from(attempt.to_string()).expect("digits are ASCII");
        request.metadata_mut().insert("grpc-previous-rpc-attempts", attempts);
    }
    request
}

fn deduction(purchase: &Purchase, id: String) -> DeductStockRequest {
    let line = &purchase.lines[0];
    DeductStockRequest {
        sku_id: SKUS[line.sku].to_owned(),
        campaign_id: CAMPAIGN.to_owned(),
        buyer_id: purchase.buyer.clone(),
        quantity: u32::try_from(line.units).unwrap_or(u32::MAX),
        deduction_id: id,
    }
}

fn reservation(purchase: &Purchase, id: String, hold_ms: u32) -> ReserveStockRequest {
    let line = |line: &super::told::Line| ReservationLine {
        sku_id: SKUS[line.sku].to_owned(),
        campaign_id: CAMPAIGN.to_owned(),
        quantity: u32::try_from(line.units).unwrap_or(u32::MAX),
    };
    ReserveStockRequest {
        reservation_id: id,
        buyer_id: purchase.buyer.clone(),
        lines: purchase.lines.iter().map(line).collect(),
        hold_ms,
    }
}
