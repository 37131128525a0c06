//! What a history's means of payment scripts the provider to do wrong, and how the merchant is told of it. It is written into the token, of
//! which the contract takes 120 characters.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use stampede_proto::payment::v1::payment_method::Method;
use stampede_proto::payment::v1::{Alipay, CardToken, PaymentMethod, StoredValue, WeChatPay};

/// What is asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Authorize,
    Capture,
    Void,
    Refund,
}

/// What is scripted, as the provider reads it.
pub type Word = &'static str;

pub const AUTHORIZE: [Word; 14] = [
    "visa",
    "mastercard",
    "amex",
    "unionpay",
    "slow_200",
    "timeout_before",
    "timeout_after",
    "error_500_once",
    "error_500_after",
    "outage_800",
    "outage_1500",
    "declined_stolen",
    "3ds_2500",
    "3ds_fails",
];
pub const LATER: [Word; 6] =
    ["slow_200", "timeout_before", "timeout_after", "error_500_once", "error_500_after", DECLINED];
pub const TOLD: [Word; 6] =
    ["webhook_never", "webhook_twice", "webhook_early", "webhook_late_700", "webhook_reordered", LIE];
/// The only message that contradicts what is so.
const LIE: Word = "webhook_wrong_amount";
const DECLINED: Word = "declined_closed";
/// Longest token there is.
const LONGEST: usize = 124;
/// Ways to pay.
pub const METHODS: usize = 4;

/// What one payment is paid with.
#[derive(Debug, Clone)]
pub struct Script {
    pub method: usize,
    /// The later step at which it misbehaves for certain.
    pub about: Step,
    words: Vec<(Step, Word)>,
}

impl Script {
    /// Each number begins with another word at another step, so that some dozens have them all; the seed says the rest.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9));
        let at = |many: usize| usize::try_from(number).unwrap() % many;
        let first = match number.is_multiple_of(2) {
            true => AUTHORIZE[at(2 * AUTHORIZE.len()) / 2],
            false => AUTHORIZE[0],
        };
        let steps = [Step::Capture, Step::Refund, Step::Void];
        let about = steps[at(LATER.len() * steps.len()) / LATER.len()];
        let mut script = Self { method: at(METHODS), about, words: vec![(Step::Authorize, first)] };
        // Every word at every step within eighteen numbers.
        let about = script.about;
        script.add(about, LATER[at(LATER.len())]);
        script.add(about, TOLD[at(TOLD.len() * steps.len()) / steps.len()]);
        for step in [Step::Authorize, Step::Capture, Step::Refund, Step::Void] {
            if rng.random_bool(0.3) {
                script.add(step, TOLD.choose(&mut rng).unwrap());
            }
            if step != Step::Authorize && rng.random_bool(0.3) {
                script.add(step, LATER.choose(&mut rng).unwrap());
            }
        }
        script
    }

    /// One of each sort for a step, as far as there is room.
    fn add(&mut self, step: Step, word: Word) {
        let same = |(at, said): &(Step, Word)| *at == step && is_told(said) == is_told(word);
        if self.words.iter().any(same) {
            return;
        }
        self.words.push((step, word));
        if self.token().len() > LONGEST {
            self.words.pop();
        }
    }

    pub fn token(&self) -> String {
        let words: Vec<String> =
            self.words.iter().map(|(step, word)| format!("{}{word}", step.prefix())).collect();
        format!("tok_{}", words.join("__"))
    }

    pub fn words(&self) -> impl Iterator<Item = (Step, Word)> {
        self.words.iter().copied()
    }

    /// Whether the provider is scripted to contradict itself, or to keep what we let go.
    pub fn contradicts(&self) -> bool {
        self.words.iter().any(|(step, word)| *word == LIE || (*step == Step::Void && *word == DECLINED))
    }

    /// Whether the payer has to do something, and whether nobody waits for him.
    pub fn asks_the_payer(&self) -> Option<bool> {
        self.words.iter().find_map(|(_, word)| match *word {
            "3ds_2500" => Some(true),
            "3ds_fails" => Some(false),
            _ => None,
        })
    }

    pub fn method(&self) -> PaymentMethod {
        let token = self.token();
        let method = match self.method {
            0 => Method::Card(CardToken { token }),
            1 => Method::Alipay(Alipay { session: token }),
            2 => Method::WechatPay(WeChatPay { session: token }),
            _ => Method::StoredValue(StoredValue { account: token }),
        };
        PaymentMethod { method: Some(method) }
    }
}

pub fn is_outage(word: Word) -> bool {
    word.starts_with("outage")
}

pub fn is_told(word: Word) -> bool {
    word.starts_with("webhook")
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Authorize, Self::Capture, Self::Void, Self::Refund];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Authorize => "",
            Self::Capture => "capture_",
            Self::Void => "void_",
            Self::Refund => "refund_",
        }
    }

    /// As the name of an attempt begins.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorize => "AUTHORIZE",
            Self::Capture => "CAPTURE",
            Self::Void => "VOID",
            Self::Refund => "REFUND",
        }
    }

    /// Under which the provider counts them.
    pub const fn counted_as(self) -> &'static str {
        match self {
            Self::Authorize => "authorizations",
            Self::Capture => "captures",
            Self::Void => "voids",
            Self::Refund => "refunds",
        }
    }
}
