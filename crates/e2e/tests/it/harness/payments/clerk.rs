//! Staff at the payments that wait for a person: they ask the provider again or keep ours, and look at what needs no more than that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stampede_proto::payment::v1::{
    GetPaymentRequest, ListStuckPaymentsRequest, PaymentDecision, ResolvePaymentRequest, StuckPayment,
    StuckReason,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::till::{Till, WITHIN};
use crate::harness::stage::request;

const LOOK_EVERY: Duration = Duration::from_millis(500);
const PAGE: u32 = 50;
/// Far more than wait at once.
const PAGES: usize = 200;

/// Questions that a provider may answer without mending anything.
const IN_VAIN: usize = 4;

/// What was decided, and how often.
pub type Decided = BTreeMap<(StuckReason, PaymentDecision), usize>;

/// Decides about whatever waits, until `stop`; what was decided.
pub async fn work(till: Arc<Till>, stop: CancellationToken) -> Decided {
    let mut decided = Decided::new();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        // Whoever is killed meanwhile is asked again.
        decide(&till, &mut decided).await.ok();
    }
    decided
}

/// Decides about everything that waits now; how much that was.
pub async fn decide(till: &Till, decided: &mut Decided) -> Result<usize, tonic::Status> {
    let waiting = waiting(till).await?;
    for stuck in &waiting {
        resolve(till, stuck, decided).await;
    }
    Ok(waiting.len())
}

async fn waiting(till: &Till) -> Result<Vec<StuckPayment>, tonic::Status> {
    let (mut all, mut token) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let message = ListStuckPaymentsRequest { page_size: PAGE, page_token: token };
        let wanted = request(&till.staff, message, WITHIN);
        let page = till.repairs[0].clone().list_stuck_payments(wanted).await?.into_inner();
        all.extend(page.payments);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    Ok(all)
}

/// The provider's books are right, whatever it told: it is asked again, or ours are kept, for every other payment first where both may be. A
/// hold that it refuses to let go lapses there in the end; then nothing is left to do but to close the payment.
async fn resolve(till: &Till, stuck: &StuckPayment, decided: &mut Decided) {
    let Ok(payment) = stuck.payment_id.parse::<Uuid>() else { return };
    let even = payment.as_u128().is_multiple_of(2);
    let first = [PaymentDecision::AskAgain, PaymentDecision::KeepOurs];
    let ways = match (asked_in_vain(stuck) >= IN_VAIN, even) {
        (true, _) if is_let_go(till, payment).await => [PaymentDecision::CloseByHand; 2],
        (true, _) => return,
        (false, true) => first,
        (false, false) => [first[1], first[0]],
    };
    let Some(way) = ways.into_iter().find(|way| stuck.possible.contains(&i32::from(*way))) else { return };
    let message = ResolvePaymentRequest {
        payment_id: stuck.payment_id.clone(),
        resolution_id: Uuid::now_v7().to_string(),
        reason: stuck.reason,
        decision: way.into(),
        note: stuck.detail.clone(),
    };
    let process = usize::from(even) % till.repairs.len();
    let answer = till.repairs[process].clone().resolve_payment(request(&till.staff, message, WITHIN)).await;
    if answer.is_ok() {
        *decided.entry((stuck.reason(), way)).or_insert(0) += 1;
    }
}

/// How often the provider has been asked since the payment last went on.
fn asked_in_vain(stuck: &StuckPayment) -> usize {
    stuck.resolutions.iter().filter(|made| made.decision() == PaymentDecision::AskAgain).count()
}

/// Whether nothing is held any more, as both know it; what is held lapses now.
async fn is_let_go(till: &Till, payment: Uuid) -> bool {
    let truth = till.truth(payment).await;
    let minor = |what: &str| truth[what].as_i64().unwrap_or(0);
    let held = minor("authorized_minor") - minor("captured_minor") - minor("voided_minor");
    if held > 0 {
        // The desk's name for it is no other payment's.
        till.happens(payment, "authorization_expired", &format!("lapsed_{payment}"), held).await;
    }
    let message = request(&till.staff, GetPaymentRequest { payment_id: payment.to_string() }, WITHIN);
    let ours = till.payments[0].clone().get_payment(message).await;
    let voided = ours.ok().and_then(|ours| ours.into_inner().voided).map(|voided| voided.amount_minor);
    held == 0 && voided == Some(minor("voided_minor"))
}
