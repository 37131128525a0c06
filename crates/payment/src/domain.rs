//! The rules of a payment as functions of values: what a state allows, what an answer changes, what the books say. It never
//! awaits, logs, reads time or makes ids.

mod action;
mod amounts;
mod attempt;
mod books;
mod decide;
mod event;
mod notice;
pub mod page;
mod payment;
pub mod reconcile;
mod renewal;
mod route;
mod routes;
mod settle;
mod signature;
mod standing;
mod state;
pub mod stuck;
mod terms;
mod whole;

pub use action::PayerAction;
pub use amounts::Amounts;
pub use attempt::{Answer, Attempt, AttemptState, Operation, attempt_id, changed};
pub use books::{Entry, entries};
pub use event::{Event, EventKind};
pub use notice::{Heard, Notice, Spontaneous};
pub use payment::Payment;
pub use renewal::MAX_REAUTHORIZATIONS;
pub use routes::Routes;
pub use settle::{Conflict, Settlement};
pub use signature::{Keys, Unsigned};
pub use standing::{IllegalStep, Refused, Standing, VoidPlan};
pub use state::State;
pub use terms::{CaptureMode, Method, MethodKind, Terms, Token};
pub use whole::{Next, NotDone, Part, Tender};
