//! The Stripe adapter against its published API, request by request as it is written down in `contract`: never tested against the real thing.

mod contract;
mod told;

use serde_json::{Value, json};
use stampede_payment::{Answer, Call, Found, Method, MethodKind, Operation, Provider as _, Token};

use contract::{
    CREATED, Contract, Exchange, HOLD_KEY, OTHER_KEY, PAYMENT, call, charged, get, intent, post, refund,
};

const BY_NAME: &str = "/v1/payment_intents/pi_1?expand%5B%5D=latest_charge";

fn by_key() -> String {
    let query = format!("metadata%5B%27key%27%5D%3A%27{HOLD_KEY}%27");
    format!("/v1/payment_intents/search?query={query}&expand%5B%5D=data.latest_charge")
}

fn holding() -> Exchange {
    post(
        "/v1/payment_intents",
        HOLD_KEY,
        [
            ("amount", "10000"),
            ("currency", "eur"),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            ("metadata[payment]", &PAYMENT.to_string()),
            ("metadata[key]", &HOLD_KEY.to_string()),
            ("confirm", "true"),
            ("payment_method_data[type]", "card"),
            ("payment_method_data[card][token]", "tok_visa"),
            ("return_url", "https://shop/back"),
        ],
    )
}

fn capturing() -> Exchange {
    post(
        "/v1/payment_intents/pi_1/capture",
        OTHER_KEY,
        [
            ("amount_to_capture", "10000"),
            ("metadata[capture]", &OTHER_KEY.to_string()),
            ("expand[]", "latest_charge"),
        ],
    )
}

fn done(reference: &str, amount_minor: i64) -> Answer {
    Answer::Done { reference: reference.into(), amount_minor, currency: "EUR".into(), hold_expires_at: None }
}

fn refused(reference: Option<&str>, decline: &str) -> Answer {
    Answer::Refused { reference: reference.map(str::to_owned), decline: decline.to_owned() }
}

async fn held(exchange: Exchange, kind: MethodKind) -> Answer {
    let contract = Contract::of([exchange]).await;
    let method = Method { kind, token: Token::new("tok_visa") };
    let answer = contract.stripe.authorize(&call(Operation::Authorize, 10_000, None), &method).await;
    contract.was_kept();
    answer
}

async fn asked<const N: usize>(call: &Call, exchanges: [Exchange; N]) -> Found {
    let contract = Contract::of(exchanges).await;
    let found = contract.stripe.query(call).await;
    contract.was_kept();
    found
}

#[tokio::test]
async fn a_hold_is_an_intent_confirmed_at_once_and_captured_by_hand() {
    let card = MethodKind::Card;
    assert_eq!(held(holding().answers(intent("requires_capture")), card).await, done("pi_1", 10_000));
    for (code, decline, class) in [
        ("card_declined", "insufficient_funds", "insufficient_funds"),
        ("card_declined", "do_not_honor", "do_not_honour"),
        ("card_declined", "issuer_not_available", "issuer_unavailable"),
    ] {
        let declined = holding().fails(402, "card_error", code, decline);
        assert_eq!(held(declined, card).await, refused(Some("pi_1"), class));
    }
}

#[tokio::test]
async fn what_says_neither_yes_nor_no_is_lost() {
    for (status, kind, code) in [
        (429, "rate_limit_error", "rate_limit"),
        (409, "idempotency_error", "idempotency_key_in_use"),
        (400, "idempotency_error", "idempotency_key"),
        (500, "api_error", "internal"),
        (401, "authentication_error", "key"),
    ] {
        let answer = held(holding().fails(status, kind, code, ""), MethodKind::Card).await;
        assert_eq!(answer, Answer::Lost, "{status} {kind}");
    }
    for odd in [intent("processing"), intent("something_new"), json!({ "id": "pi_1" }), Value::Null] {
        assert_eq!(held(holding().answers(odd.clone()), MethodKind::Card).await, Answer::Lost, "{odd}");
    }
}

#[tokio::test]
async fn a_method_that_cannot_be_held_first_is_refused_without_asking() {
    let contract = Contract::of([]).await;
    let method = Method { kind: MethodKind::Alipay, token: Token::new("session-1") };
    let answer = contract.stripe.authorize(&call(Operation::Authorize, 10_000, None), &method).await;
    assert_eq!(answer, refused(None, "method_not_supported"));
    contract.was_kept();
}

#[tokio::test]
async fn a_payer_is_sent_to_his_bank_for_a_quarter_of_an_hour() {
    let mut asking = intent("requires_action");
    let redirect = json!({ "url": "https://hooks.stripe.com/redirect/authenticate/src_1", "return_url": "https://shop/back" });
    asking["next_action"] = json!({ "type": "redirect_to_url", "redirect_to_url": redirect });
    let Answer::Action { reference, action } = held(holding().answers(asking), MethodKind::Card).await else {
        panic!("an action");
    };
    assert_eq!(reference.as_deref(), Some("pi_1"));
    assert_eq!(action.url.expose(), "https://hooks.stripe.com/redirect/authenticate/src_1");
    assert_eq!(action.expires_at.unix_timestamp(), CREATED + 900);
}

#[tokio::test]
async fn a_lost_hold_is_found_by_our_key_and_one_that_is_not_there_is_absent() {
    let lost = call(Operation::Authorize, 10_000, None);
    let found = |intents: Value| {
        get(&by_key()).answers(json!({ "object": "search_result", "data": intents, "has_more": false }))
    };
    assert_eq!(
        asked(&lost, [found(json!([charged("requires_capture", 0)]))]).await,
        Found::Known(done("pi_1", 10_000))
    );
    assert_eq!(asked(&lost, [found(json!([]))]).await, Found::Absent);
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] =
        json!({ "type": "card_error", "code": "card_declined", "decline_code": "stolen_card" });
    assert_eq!(
        asked(&lost, [found(json!([failed]))]).await,
        Found::Known(refused(Some("pi_1"), "stolen_card"))
    );
    assert_eq!(asked(&lost, [get(&by_key()).fails(500, "api_error", "x", "")]).await, Found::Lost);
}

#[tokio::test]
async fn a_capture_takes_from_the_hold_once_and_is_asked_of_the_intent_when_it_moved() {
    let capture = call(Operation::Capture, 10_000, Some("pi_1"));
    let contract = Contract::of([capturing().answers(charged("succeeded", 10_000))]).await;
    assert_eq!(contract.stripe.capture(&capture).await, done("ch_1", 10_000));
    contract.was_kept();
    let moved = || capturing().fails(400, "invalid_request_error", "payment_intent_unexpected_state", "");
    for (now, answer) in [
        (charged("succeeded", 10_000), done("ch_1", 10_000)),
        (charged("canceled", 0), refused(Some("pi_1"), "authorization_expired")),
    ] {
        let contract = Contract::of([moved(), get(BY_NAME).answers(now)]).await;
        assert_eq!(contract.stripe.capture(&capture).await, answer);
        contract.was_kept();
    }
    let held = get(BY_NAME).answers(charged("requires_capture", 0));
    assert_eq!(asked(&capture, [held]).await, Found::Absent);
}

#[tokio::test]
async fn a_void_cancels_the_intent_and_says_how_much_it_let_go() {
    let void = call(Operation::Void, 0, Some("pi_1"));
    let cancel = || post("/v1/payment_intents/pi_1/cancel", OTHER_KEY, [("expand[]", "latest_charge")]);
    for (before, after, let_go) in [
        (charged("requires_capture", 0), charged("canceled", 0), 10_000),
        (intent("requires_action"), intent("canceled"), 0),
    ] {
        let contract = Contract::of([get(BY_NAME).answers(before), cancel().answers(after)]).await;
        assert_eq!(contract.stripe.void(&void).await, done("pi_1", let_go));
        contract.was_kept();
    }
    // What a capture left has gone by itself; a void that was lost finds the intent cancelled.
    for (now, let_go) in [(charged("succeeded", 6_000), 4_000), (charged("canceled", 0), 10_000)] {
        let contract = Contract::of([get(BY_NAME).answers(now)]).await;
        assert_eq!(contract.stripe.void(&void).await, done("pi_1", let_go));
        contract.was_kept();
    }
}

#[tokio::test]
async fn a_void_before_its_hold_takes_the_holds_key_so_that_it_is_refused_when_it_comes() {
    let void = call(Operation::Void, 0, None);
    let nothing = || get(&by_key()).answers(json!({ "data": [], "has_more": false }));
    let (payment, key) = (PAYMENT.to_string(), HOLD_KEY.to_string());
    let taking = || {
        let form = [
            ("currency", "eur"),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            ("metadata[payment]", payment.as_str()),
            ("metadata[key]", key.as_str()),
            ("amount", "100"),
        ];
        post("/v1/payment_intents", HOLD_KEY, form)
    };
    let cancel = post("/v1/payment_intents/pi_1/cancel", OTHER_KEY, [("expand[]", "latest_charge")]);
    let exchanges =
        [nothing(), taking().answers(intent("requires_payment_method")), cancel.answers(intent("canceled"))];
    let contract = Contract::of(exchanges).await;
    assert_eq!(contract.stripe.void(&void).await, done("pi_1", 0));
    contract.was_kept();
    // The hold has come meanwhile: it is found the next time.
    let overtaken = taking().fails(400, "idempotency_error", "idempotency_key", "");
    let contract = Contract::of([nothing(), overtaken]).await;
    assert_eq!(contract.stripe.void(&void).await, Answer::Lost);
    contract.was_kept();
}

#[tokio::test]
async fn a_refund_is_made_under_its_key_and_found_by_it() {
    let back = call(Operation::Refund, 4_000, Some("pi_1"));
    let refunding = || {
        let (key, payment) = (OTHER_KEY.to_string(), PAYMENT.to_string());
        let form = [
            ("payment_intent", "pi_1"),
            ("amount", "4000"),
            ("metadata[key]", key.as_str()),
            ("metadata[payment]", payment.as_str()),
        ];
        post("/v1/refunds", OTHER_KEY, form)
    };
    for (status, answer) in [
        ("succeeded", done("re_1", 4_000)),
        ("pending", Answer::Lost),
        ("failed", refused(Some("re_1"), "unspecified")),
    ] {
        let contract = Contract::of([refunding().answers(refund(status, OTHER_KEY))]).await;
        assert_eq!(contract.stripe.refund(&back).await, answer, "{status}");
        contract.was_kept();
    }
    let list = |refunds: Value| {
        get("/v1/refunds?payment_intent=pi_1&limit=100")
            .answers(json!({ "data": refunds, "has_more": false }))
    };
    let ours = refund("succeeded", OTHER_KEY);
    assert_eq!(
        asked(&back, [list(json!([refund("succeeded", HOLD_KEY), ours]))]).await,
        Found::Known(done("re_1", 4_000))
    );
    assert_eq!(asked(&back, [list(json!([refund("succeeded", HOLD_KEY)]))]).await, Found::Absent);
}
