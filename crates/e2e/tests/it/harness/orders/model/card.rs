//! What the provider will say to each step of a payment with a card: the script of its token, as the model knows it.

/// The provider's last word about a step, however often its answer is lost or late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Yes,
    /// Declined with this class.
    No(&'static str),
}

/// A card whose payments the provider scripts by its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    pub token: &'static str,
    pub authorize: Word,
    pub capture: Word,
    pub void: Word,
    pub refund: Word,
}

impl Card {
    const fn good(token: &'static str) -> Card {
        Card { token, authorize: Word::Yes, capture: Word::Yes, void: Word::Yes, refund: Word::Yes }
    }

    /// Whether an order may be confirmed with it.
    pub fn pays(&self) -> bool {
        (self.authorize, self.capture) == (Word::Yes, Word::Yes)
    }

    /// The class with which it is declined sooner or later.
    pub fn class(&self) -> Option<&'static str> {
        [self.authorize, self.capture].into_iter().find_map(|word| match word {
            Word::Yes => None,
            Word::No(class) => Some(class),
        })
    }

    /// Whether an order paid with it may need a person: what was taken or held cannot be given back.
    pub fn needs_a_person(&self) -> bool {
        self.authorize == Word::Yes && (self.void, self.refund) != (Word::Yes, Word::Yes)
    }
}

/// Every card of a history, and how often it is drawn.
pub const CARDS: [(u32, Card); 24] = [
    (20, Card::good("tok_visa")),
    (3, Card::good("tok_slow_400")),
    (3, Card::good("tok_timeout_before")),
    (4, Card::good("tok_timeout_after")),
    (3, Card::good("tok_error_500_once")),
    (3, Card::good("tok_error_500_after")),
    (2, Card::good("tok_outage_900")),
    (3, Card::good("tok_capture_timeout_before")),
    (4, Card::good("tok_capture_timeout_after")),
    (3, Card::good("tok_capture_error_500_after")),
    (2, Card::good("tok_slow_100__capture_slow_400")),
    (2, Card::good("tok_void_timeout_after__refund_timeout_before")),
    (3, Card::good("tok_refund_timeout_after")),
    (2, Card::good("tok_refund_error_500_after")),
    (5, Card { authorize: Word::No("insufficient_funds"), ..Card::good("tok_declined_insufficient_funds") }),
    (2, Card { authorize: Word::No("lost_card"), ..Card::good("tok_declined_lost_card") }),
    (
        3,
        Card {
            capture: Word::No("expired_card"),
            ..Card::good("tok_capture_declined_expired_card__void_timeout_after")
        },
    ),
    (2, Card { capture: Word::No("do_not_honour"), ..Card::good("tok_capture_declined_do_not_honour") }),
    (4, Card { refund: Word::No("closed_account"), ..Card::good("tok_refund_declined_closed_account") }),
    (2, Card { void: Word::No("not_now"), ..Card::good("tok_slow_300__void_declined_not_now") }),
    // It is held when the time to pay is over, and not let go.
    (2, Card { void: Word::No("not_now"), ..Card::good("tok_slow_7000__void_declined_not_now") }),
    (3, Card::good("tok_webhook_twice__capture_webhook_early__refund_webhook_late_300")),
    (3, Card::good("tok_timeout_after__webhook_late_400__capture_webhook_reordered")),
    (2, Card::good("tok_webhook_early__capture_timeout_after__capture_webhook_never")),
];

/// The card that a number below the sum of the weights means.
pub fn drawn(mut number: u32) -> &'static Card {
    for (weight, card) in &CARDS {
        match number.checked_sub(*weight) {
            Some(rest) => number = rest,
            None => return card,
        }
    }
    &CARDS[0].1
}

/// The sum of the weights.
pub fn weights() -> u32 {
    CARDS.iter().map(|(weight, _)| weight).sum()
}
