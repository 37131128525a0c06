//! The ways to the payment processes and to the provider, and what each call is answered. It decides nothing.

use std::time::Duration;

use serde_json::{Value, json};
use stampede_kit::client::Channel;
use stampede_kit::refusal::reason_of;
use stampede_proto::payment::v1::Payment;
use stampede_proto::payment::v1::payment_service_client::PaymentServiceClient;
use stampede_proto::payment::v1::repair_service_client::RepairServiceClient;
use tonic::{Response, Status};
use uuid::Uuid;
use xtask::token::Role;

use crate::harness::history::talk::{INTERNAL, UNKNOWN};
use crate::harness::stage::{Bearer, Stage};

/// How long a call may take.
pub const WITHIN: Duration = Duration::from_secs(4);

pub struct Till {
    /// One for each process.
    pub payments: Vec<PaymentServiceClient<Channel>>,
    pub repairs: Vec<RepairServiceClient<Channel>>,
    pub staff: Bearer,
    psp: String,
    http: reqwest::Client,
}

/// What a call of ours came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Yes,
    /// With its reason.
    No(String),
    /// It may have been done or not.
    Nothing,
    /// A defect of ours, unless a server was away.
    Internal,
}

impl Till {
    pub fn of(stage: &Stage) -> Self {
        let psp = stage.stack.lock().unwrap().address("psp-simulator").unwrap();
        let channels: Vec<Channel> =
            stage.names_of("payment").iter().map(|name| stage.channel(name)).collect();
        Self {
            payments: channels.iter().cloned().map(PaymentServiceClient::new).collect(),
            repairs: channels.into_iter().map(RepairServiceClient::new).collect(),
            staff: stage.bearer("sam", Role::Staff),
            psp: format!("http://{psp}"),
            http: reqwest::Client::new(),
        }
    }

    /// What the provider holds to be true of a payment; nothing when it never heard of it.
    pub async fn truth(&self, payment: Uuid) -> Value {
        self.read(&format!("truth/{payment}")).await
    }

    /// What became of one thing asked of the provider, by its key.
    pub async fn operation(&self, key: Uuid) -> Value {
        self.read(&format!("operations/{key}")).await
    }

    async fn read(&self, what: &str) -> Value {
        let answer = self.http.get(format!("{}/v1/{what}", self.psp)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Whether it happened at the provider without anybody's asking.
    pub async fn happens(&self, payment: Uuid, what: &str, reference: &str, amount_minor: i64) -> bool {
        let body =
            json!({ "payment": payment, "what": what, "reference": reference, "amount_minor": amount_minor });
        self.tell("desk", &body).await
    }

    /// The payer does what is asked of him; whether there was anything to do.
    pub async fn act(&self, key: Uuid, outcome: &str) -> bool {
        self.tell(&format!("actions/{key}"), &json!({ "outcome": outcome })).await
    }

    async fn tell(&self, what: &str, body: &Value) -> bool {
        let request = self.http.post(format!("{}/v1/{what}", self.psp)).json(body);
        request.send().await.unwrap().status().is_success()
    }
}

impl Said {
    pub fn of(answer: &Result<Response<Payment>, Status>) -> Self {
        let status = match answer {
            Ok(_) => return Self::Yes,
            Err(status) => status,
        };
        // Without a reason it is the connection's: its process was killed.
        let Some(reason) = reason_of(status) else { return Self::Nothing };
        if reason == INTERNAL {
            Self::Internal
        } else if UNKNOWN.contains(&reason.as_str()) || reason == "PAYMENT_UNKNOWN" {
            Self::Nothing
        } else {
            Self::No(reason)
        }
    }
}
