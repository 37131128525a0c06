//! What happens at the bank without the shop.

use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::{PaymentEvent, PaymentEventKind, PaymentState};

use super::Bank;

impl Bank {
    /// The provider has money on this payment after all.
    pub fn money_appears(&self, payment: &str, state: PaymentState) {
        let mut books = self.books.lock().unwrap();
        let payment = books.payments.get_mut(payment).unwrap();
        payment.set_state(state);
        payment.authorized.clone_from(&payment.amount);
        if state == PaymentState::Captured {
            payment.captured.clone_from(&payment.amount);
        }
    }

    /// Somebody captures all that is authorised, without the shop.
    pub fn capture_by_hand(&self) {
        self.capture_part_by_hand(i64::MAX);
    }

    /// Somebody captures no more than this, and lets go of the rest.
    pub fn capture_part_by_hand(&self, amount_minor: i64) {
        for payment in self.books.lock().unwrap().payments.values_mut() {
            let amount = payment.amount.clone().unwrap();
            payment.captured = Some(Money { amount_minor: amount.amount_minor.min(amount_minor), ..amount });
            payment.set_state(PaymentState::Captured);
        }
    }

    /// Somebody gives back all that was captured, without the shop.
    pub fn refund_by_hand(&self) {
        for payment in self.books.lock().unwrap().payments.values_mut() {
            payment.refunded.clone_from(&payment.captured);
        }
    }

    /// A buyer's bank sends back what it was given.
    pub fn refunds_come_back(&self) {
        for payment in self.books.lock().unwrap().payments.values_mut() {
            let amount = payment.refunded.take();
            let kind = PaymentEventKind::RefundReversed.into();
            payment.events.push(PaymentEvent { kind, amount, ..PaymentEvent::default() });
        }
    }
}
