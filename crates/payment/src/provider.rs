//! Payment providers: the outside world behind one trait. An adapter translates and reports; it never retries, never decides,
//! and calls an answer lost rather than guess.

mod line;
mod simulator;
mod simulator_webhook;
mod stripe;

use futures::future::BoxFuture;
use stampede_types::{Currency, PaymentId};
use uuid::Uuid;

pub use simulator::Simulator;
pub use stripe::{Stripe, StripeConfig};

use crate::domain::{Answer, Method, Notice, Operation};

/// One command to a provider. The same key is the same command, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub key: Uuid,
    pub operation: Operation,
    /// Our name for the payment: captures, voids and refunds refer to it.
    pub payment: PaymentId,
    pub amount_minor: i64,
    pub currency: Currency,
    /// The provider's own name for the hold that this is about, when it has said it.
    pub hold: Option<String>,
    /// The key of the authorisation that this is about, or is.
    pub authorization: Option<Uuid>,
}

/// What a provider knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Known(Answer),
    /// Nothing happened under this key so far: sending it again is safe.
    Absent,
    /// It could not be asked.
    Lost,
}

/// What a provider tells by itself, in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The provider's name for the message: a repetition has the same.
    pub event: String,
    pub about: About,
    pub notice: Notice,
}

/// The payment that a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    Payment(PaymentId),
    /// By the provider's own name for what it holds, or held.
    Hold(String),
}

/// What a webhook's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Told(Told),
    /// A message of this provider's that changes nothing here.
    Ignored,
    /// No message of this provider's.
    Malformed,
}

impl Told {
    /// The provider's own words in it: what is kept and shown.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let said: [Option<&str>; 2] = match &self.notice {
            Notice::Answer { answer: Answer::Done { reference, .. }, .. } => [Some(reference), None],
            Notice::Answer { answer: Answer::Refused { reference, decline }, .. } => {
                [reference.as_deref(), Some(decline)]
            }
            Notice::Answer { answer: Answer::Action { reference, .. }, .. } => [reference.as_deref(), None],
            Notice::Answer { answer: Answer::Lost, .. } => [None, None],
            Notice::Fact { reference, .. } => [Some(reference), None],
        };
        std::iter::once(self.event.as_str()).chain(said.into_iter().flatten())
    }
}

/// A payment provider.
pub trait Provider: Send + Sync + 'static {
    /// Its name in the store, in routes and in the address of its webhooks.
    fn name(&self) -> &str;

    /// Holds money.
    fn authorize<'a>(&'a self, call: &'a Call, method: &'a Method) -> BoxFuture<'a, Answer>;

    /// Takes held money.
    fn capture<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer>;

    /// Lets go of what is held and not captured, and says how much that was. With nothing held it closes the payment: an
    /// authorisation that comes later is refused.
    fn void<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer>;

    /// Gives captured money back.
    fn refund<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Answer>;

    /// What became of a call.
    fn query<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Found>;

    /// Reads a webhook's body whose signature is good.
    fn told(&self, body: &[u8]) -> Reading;
}
