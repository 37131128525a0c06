//! Asking the payment processes: once, again until there is an answer that says something, or all at once.

use std::fmt::Debug;
use std::time::Duration;

use rand::RngExt as _;
use stampede_kit::clock::Clock;
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CaptureMode, CapturePaymentRequest, Payment, RefundPaymentRequest,
    VoidPaymentRequest,
};
use stampede_types::PaymentId;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Client;
use crate::harness::history::record::{Micros, micros};
use crate::harness::payments::card::Step;
use crate::harness::payments::till::{Said, WITHIN};
use crate::harness::stage::request;

/// A caller gives up after so many answers that say nothing; what he began has an owner all the same.
const REPEATS: usize = 12;
const PAUSE: Duration = Duration::from_millis(100);

/// One thing that was asked of us, under an id of the caller's.
#[derive(Debug, Clone)]
pub struct Asked {
    pub step: Step,
    /// The caller's word for it.
    pub word: String,
    /// None: all that is left.
    pub amount: Option<i64>,
    pub said: Vec<Said>,
}

impl Asked {
    /// The key under which the provider hears of it.
    pub fn key(&self, payment: Uuid) -> Uuid {
        key(payment, self.step, &self.word)
    }

    pub fn was_accepted(&self) -> bool {
        self.said.contains(&Said::Yes)
    }
}

/// The one key of this step and the caller's word for it.
pub fn key(payment: Uuid, step: Step, word: &str) -> Uuid {
    PaymentId::new(payment).derive(&format!("{}/{word}", step.name()))
}

impl Client {
    /// Asks for something new until there is an answer that says something; whether it is yes.
    pub(super) async fn ask(&mut self, step: Step, amount: Option<i64>) -> bool {
        let word = match step {
            Step::Authorize | Step::Void => "1".to_owned(),
            Step::Capture | Step::Refund => Uuid::from_u128(self.rng.random()).to_string(),
        };
        self.asked.push(Asked { step, word, amount, said: Vec::new() });
        self.until_told(self.asked.len() - 1).await
    }

    async fn until_told(&mut self, at: usize) -> bool {
        for _ in 0..REPEATS {
            let process = self.rng.random_range(0..self.till.payments.len());
            let said = self.call(at, process).await;
            match said {
                Said::Yes => return true,
                Said::No(_) => return false,
                Said::Nothing | Said::Internal => tokio::time::sleep(PAUSE).await,
            }
        }
        false
    }

    async fn call(&mut self, at: usize, process: usize) -> Said {
        let begun = micros(Clock::system().now());
        let answer = self.send(&self.asked[at], process).await;
        self.note(at, begun, &answer)
    }

    fn note(&mut self, at: usize, begun: Micros, answer: &Result<Response<Payment>, Status>) -> Said {
        let said = Said::of(answer);
        if said == Said::Internal {
            self.internal.push((begun, micros(Clock::system().now())));
        }
        let asked = &mut self.asked[at];
        let state = answer.as_ref().map(|payment| payment.get_ref().state());
        let told: &dyn Debug = match &state {
            Ok(state) => state,
            Err(status) => status,
        };
        self.told.push(format!("{} {:?} {}: {told:?}", asked.step.name(), asked.amount, asked.word));
        asked.said.push(said.clone());
        said
    }

    async fn send(&self, asked: &Asked, process: usize) -> Result<Response<Payment>, Status> {
        let mut payments = self.till.payments[process].clone();
        let (payment_id, amount) = (self.payment.to_string(), asked.amount.map(eur));
        match asked.step {
            Step::Authorize => {
                let capture = if self.automatic { CaptureMode::Automatic } else { CaptureMode::Manual };
                let message = AuthorizePaymentRequest {
                    order_id: payment_id.clone(),
                    payment_id,
                    amount,
                    method: Some(self.script.method()),
                    capture: capture.into(),
                };
                payments.authorize_payment(self.request(message)).await
            }
            Step::Capture => {
                let capture_id = asked.word.clone();
                let message = CapturePaymentRequest { payment_id, capture_id, amount };
                payments.capture_payment(self.request(message)).await
            }
            Step::Void => payments.void_payment(self.request(VoidPaymentRequest { payment_id })).await,
            Step::Refund => {
                let refund_id = asked.word.clone();
                let message = RefundPaymentRequest { payment_id, refund_id, amount };
                payments.refund_payment(self.request(message)).await
            }
        }
    }

    pub(super) fn request<M>(&self, message: M) -> Request<M> {
        request(&self.till.staff, message, WITHIN)
    }

    /// Nobody asks again; whether anybody was told yes.
    pub(super) async fn race(&mut self) -> bool {
        let first = self.asked.len();
        for (step, amount) in [
            (Step::Capture, Some(60)),
            (Step::Void, None),
            (Step::Refund, Some(60)),
            (Step::Refund, Some(60)),
        ] {
            let word = match step {
                Step::Authorize | Step::Void => "1".to_owned(),
                Step::Capture | Step::Refund => Uuid::from_u128(self.rng.random()).to_string(),
            };
            self.asked.push(Asked { step, word, amount, said: Vec::new() });
        }
        let begun = micros(Clock::system().now());
        let calls = (first..first + 4).map(|at| self.send(&self.asked[at], at % 2));
        let answers = futures::future::join_all(calls).await;
        let said = answers.iter().enumerate().map(|(at, answer)| self.note(first + at, begun, answer));
        said.collect::<Vec<_>>().contains(&Said::Yes)
    }

    pub(super) async fn again(&mut self) -> bool {
        self.until_told(self.asked.len() - 1).await
    }
}

fn eur(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".into() }
}
