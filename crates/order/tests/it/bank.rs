//! A peer that plays payment: one intent an id, captured and refunded at most once. `tok_declined` is declined, `tok_unknown`
//! stays unknown until the bank finds out.

mod desk;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use stampede_kit::refusal::reason_of;
use stampede_proto::common::v1::{ErrorReason, Money};
use stampede_proto::payment::v1::payment_service_server::PaymentService;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CapturePaymentRequest, GetPaymentRequest, Payment, PaymentAction, PaymentState,
    ReceiveWebhookRequest, ReceiveWebhookResponse, RefundPaymentRequest, VoidPaymentRequest, payment_method,
};
use tonic::{Request, Response, Status};

use crate::trouble::Trouble;
use crate::warehouse::refusal;

#[derive(Clone, Default)]
pub struct Bank {
    pub trouble: Trouble,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    payments: HashMap<String, Payment>,
    captures: HashSet<String>,
    refunds: HashSet<String>,
    /// Refunds the provider has refused: for ever, under their ids.
    declined: HashSet<String>,
    /// Unknown payments that are let go as soon as they are known.
    voids: HashSet<String>,
    refuses_captures: bool,
    /// Somebody gives back whatever is captured before the shop hears of the capture.
    undoes_captures: bool,
}

type Answer<T> = Result<Response<T>, Status>;

impl Bank {
    /// What was taken and not given back, in minor units, over all payments.
    pub fn kept(&self) -> i64 {
        let books = self.books.lock().unwrap();
        books.payments.values().map(|payment| minor(&payment.captured) - minor(&payment.refunded)).sum()
    }

    pub fn payments(&self) -> Vec<Payment> {
        self.books.lock().unwrap().payments.values().cloned().collect()
    }

    pub fn captures(&self) -> usize {
        self.books.lock().unwrap().captures.len()
    }

    pub fn refunds(&self) -> usize {
        self.books.lock().unwrap().refunds.len()
    }

    /// The provider tells at last that the unknown payments were authorised.
    pub fn find_out(&self) {
        let Books { payments, voids, .. } = &mut *self.books.lock().unwrap();
        for payment in payments.values_mut().filter(|payment| payment.state() == PaymentState::Unknown) {
            let voided = voids.contains(&payment.payment_id);
            payment.set_state(if voided { PaymentState::Voided } else { PaymentState::Authorized });
        }
    }

    /// The buyers do what they were asked for.
    pub fn buyers_act(&self) {
        let mut books = self.books.lock().unwrap();
        let asked =
            books.payments.values_mut().filter(|payment| payment.state() == PaymentState::RequiresAction);
        for payment in asked {
            payment.action = None;
            payment.set_state(PaymentState::Authorized);
        }
    }

    pub fn undo_captures(&self) {
        self.books.lock().unwrap().undoes_captures = true;
    }

    /// No money that was authorised is given when it is asked for.
    pub fn refuse_captures(&self) {
        self.books.lock().unwrap().refuses_captures = true;
    }

    /// It is given again, but under no id that was refused.
    pub fn allow_captures(&self) {
        self.books.lock().unwrap().refuses_captures = false;
    }
}

impl Books {
    fn authorize(&mut self, request: AuthorizePaymentRequest) -> Payment {
        self.payments.entry(request.payment_id.clone()).or_insert_with(|| new_payment(request)).clone()
    }

    fn capture(&mut self, request: CapturePaymentRequest) -> Result<Payment, Status> {
        let refuses = self.refuses_captures;
        let payment = self.payments.get_mut(&request.payment_id).ok_or_else(not_found)?;
        if refuses {
            self.declined.insert(request.capture_id.clone());
        }
        if self.declined.contains(&request.capture_id) {
            return Err(refusal(ErrorReason::PaymentDeclined).metadata("decline", "hold_expired").into());
        }
        assert!(matches!(
            payment.state(),
            PaymentState::Authorized | PaymentState::PartiallyCaptured | PaymentState::Captured
        ));
        if self.captures.contains(&request.capture_id) {
            return Ok(payment.clone());
        }
        if payment.state() == PaymentState::Captured {
            return Err(refusal(ErrorReason::PaymentState).metadata("state", "CAPTURED").into());
        }
        self.captures.insert(request.capture_id);
        let (all, before) = (payment.amount.clone().unwrap(), minor(&payment.captured));
        let amount_minor = before + request.amount.map_or(all.amount_minor, |asked| asked.amount_minor);
        assert!(amount_minor <= all.amount_minor, "more than is held is taken");
        let whole = amount_minor == all.amount_minor;
        payment.captured = Some(Money { amount_minor, ..all });
        payment.set_state(if whole { PaymentState::Captured } else { PaymentState::PartiallyCaptured });
        if self.undoes_captures {
            payment.refunded.clone_from(&payment.captured);
        }
        Ok(payment.clone())
    }

    fn void(&mut self, id: &str) -> Result<Payment, Status> {
        let payment = self.payments.entry(id.to_owned()).or_insert_with(|| prevented(id));
        match payment.state() {
            PaymentState::Captured => {
                Err(refusal(ErrorReason::PaymentState).metadata("state", "CAPTURED").into())
            }
            // What it let go of is known when the provider tells.
            PaymentState::Unknown => {
                self.voids.insert(id.to_owned());
                Ok(payment.clone())
            }
            PaymentState::Failed => Ok(payment.clone()),
            PaymentState::Unspecified
            | PaymentState::RequiresAction
            | PaymentState::Processing
            | PaymentState::Authorized
            | PaymentState::PartiallyCaptured
            | PaymentState::Voided
            | PaymentState::Expired
            | PaymentState::Conflicted => {
                payment.set_state(PaymentState::Voided);
                Ok(payment.clone())
            }
        }
    }

    fn refund(&mut self, request: RefundPaymentRequest) -> Result<Payment, Status> {
        let payment = self.payments.get_mut(&request.payment_id).ok_or_else(not_found)?;
        if self.declined.contains(&request.refund_id) {
            return Err(refusal(ErrorReason::PaymentDeclined).into());
        }
        if self.refunds.contains(&request.refund_id) {
            return Ok(payment.clone());
        }
        let captured = payment.captured.clone().unwrap();
        let left = captured.amount_minor - minor(&payment.refunded);
        // No amount means all that is left.
        let asked = request.amount.map_or(left, |amount| amount.amount_minor);
        if asked == 0 || asked > left {
            return Err(refusal(ErrorReason::AmountExceeded).into());
        }
        self.refunds.insert(request.refund_id);
        let amount_minor = minor(&payment.refunded) + asked;
        payment.refunded = Some(Money { amount_minor, ..captured });
        Ok(payment.clone())
    }
}

#[tonic::async_trait]
impl PaymentService for Bank {
    async fn authorize_payment(&self, request: Request<AuthorizePaymentRequest>) -> Answer<Payment> {
        self.trouble.enter("authorize").await?;
        let payment = self.books.lock().unwrap().authorize(request.into_inner());
        self.trouble.answer("authorize", payment)
    }

    async fn capture_payment(&self, request: Request<CapturePaymentRequest>) -> Answer<Payment> {
        self.trouble.enter("capture").await?;
        let payment = self.books.lock().unwrap().capture(request.into_inner())?;
        self.trouble.answer("capture", payment)
    }

    async fn void_payment(&self, request: Request<VoidPaymentRequest>) -> Answer<Payment> {
        self.trouble.enter("void").await?;
        let payment = self.books.lock().unwrap().void(&request.get_ref().payment_id)?;
        self.trouble.answer("void", payment)
    }

    async fn refund_payment(&self, request: Request<RefundPaymentRequest>) -> Answer<Payment> {
        let (entered, request) = (self.trouble.enter("refund").await, request.into_inner());
        let is_declined = |status: &Status| reason_of(status).as_deref() == Some("PAYMENT_DECLINED");
        if entered.as_ref().is_err_and(is_declined) {
            self.books.lock().unwrap().declined.insert(request.refund_id.clone());
        }
        entered?;
        let payment = self.books.lock().unwrap().refund(request)?;
        self.trouble.answer("refund", payment)
    }

    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Answer<Payment> {
        self.trouble.enter("get_payment").await?;
        let payment = self.books.lock().unwrap().payments.get(&request.get_ref().payment_id).cloned();
        self.trouble.answer("get_payment", payment.ok_or_else(not_found)?)
    }

    async fn receive_webhook(&self, _: Request<ReceiveWebhookRequest>) -> Answer<ReceiveWebhookResponse> {
        Err(Status::unimplemented("an order never asks this"))
    }
}

fn new_payment(request: AuthorizePaymentRequest) -> Payment {
    let token = match request.method.unwrap().method.unwrap() {
        payment_method::Method::Card(card) => card.token,
        payment_method::Method::Alipay(_)
        | payment_method::Method::WechatPay(_)
        | payment_method::Method::StoredValue(_)
        | payment_method::Method::Tenders(_) => panic!("these buyers pay by card"),
    };
    let (state, decline) = match token.as_str() {
        "tok_declined" => (PaymentState::Failed, "insufficient_funds"),
        "tok_unknown" => (PaymentState::Unknown, ""),
        "tok_3ds" => (PaymentState::RequiresAction, ""),
        _ => (PaymentState::Authorized, ""),
    };
    Payment {
        payment_id: request.payment_id,
        order_id: request.order_id,
        state: state.into(),
        amount: request.amount,
        decline: decline.into(),
        action: (state == PaymentState::RequiresAction).then(action),
        ..Payment::default()
    }
}

fn action() -> PaymentAction {
    let at = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
    PaymentAction { redirect_url: "https://psp/3ds".into(), expires_at: Some(at) }
}

/// A void that came before its authorisation: there will be none.
fn prevented(id: &str) -> Payment {
    Payment { payment_id: id.to_owned(), state: PaymentState::Voided.into(), ..Payment::default() }
}

fn not_found() -> Status {
    refusal(ErrorReason::PaymentNotFound).into()
}

fn minor(money: &Option<Money>) -> i64 {
    money.as_ref().map_or(0, |money| money.amount_minor)
}
