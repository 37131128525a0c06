//! The services the order service asks: inventory and payment, on our own authority. Each question carries ids derived from
//! the order, so that asking twice is asking once. It never retries: the saga does, and the buyer.

mod inventory;
mod payment;
mod reserving;

use std::time::Duration;

use stampede_kit as kit;
use stampede_kit::client::Channel;
use stampede_proto::common::v1::ErrorReason;
use stampede_proto::inventory::v1::campaign_service_client::CampaignServiceClient;
use stampede_proto::inventory::v1::catalog_service_client::CatalogServiceClient;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::payment::v1::payment_service_client::PaymentServiceClient;
use tonic::Status;
use tonic_types::StatusExt as _;

pub use inventory::refused_cell;
pub use payment::{CAME_BACK, came_back, is_unsettled, money_on};

use crate::config::Config;
use crate::domain::saga::Outcome;
use crate::error::is_passing;
use reserving::Reserving;

/// How long a question on the way of an order being placed may take.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Peers {
    catalog: CatalogServiceClient<Channel>,
    campaigns: CampaignServiceClient<Channel>,
    stock: InventoryServiceClient<Channel>,
    /// The first tries of new orders' holds.
    reserving: Reserving,
    payments: PaymentServiceClient<Channel>,
    /// How long a step of the saga may take.
    step_within: Duration,
}

impl Peers {
    pub fn connect(app: &kit::App, config: &Config) -> Peers {
        let inventory = kit::client::connect(app.tls(), "inventory", &config.inventory, app.contract());
        let payment = kit::client::connect(app.tls(), "payment", &config.payment, app.contract());
        let stock = InventoryServiceClient::new(inventory.clone());
        Peers {
            catalog: CatalogServiceClient::new(inventory.clone()),
            campaigns: CampaignServiceClient::new(inventory),
            reserving: Reserving::start(&stock),
            stock,
            payments: PaymentServiceClient::new(payment),
            step_within: config.saga_lease * 3 / 4,
        }
    }
}

/// What a failed call tells the saga, where nothing more particular is known about it.
fn failed(status: &Status) -> Outcome {
    let word = reason(status);
    let text =
        word.map_or_else(|| format!("{:?}", status.code()), |reason| reason.declared().word.to_owned());
    match word {
        // The id belongs to something else: asking again cannot change that, though the code says aborted.
        Some(ErrorReason::PaymentConflict | ErrorReason::ReservationConflict) => Outcome::Refused(text),
        // The peer was reached and does not know, or has a fault of its own that it may have for ever.
        Some(ErrorReason::PaymentUnknown | ErrorReason::Internal) => Outcome::Pending(text),
        Some(_) | None if is_passing(status.code()) => Outcome::Away(text),
        Some(_) | None => Outcome::Refused(text),
    }
}

fn reason(status: &Status) -> Option<ErrorReason> {
    kit::refusal::reason_of(status).as_deref().and_then(ErrorReason::from_word)
}

/// A fact of a refusal; empty when it has none of that name.
fn fact(status: &Status, key: &str) -> String {
    status.get_details_error_info().and_then(|info| info.metadata.get(key).cloned()).unwrap_or_default()
}
