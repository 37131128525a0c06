//! Callers that may not: each is refused with its own reason, on every face.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use stampede_kit::clock::Clock;
use stampede_pki::{Claims, Issuer};
use time::Duration;

use crate::house::{House, detail, refused};

fn buyer() -> Claims {
    Claims::new("alice", ["buyer"])
}

/// The same claims with no signature, under `alg: none`.
fn unsigned(token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
    format!("{header}.{payload}.")
}

#[tokio::test]
async fn every_bad_token_is_refused_with_its_own_reason() {
    let house = House::start().await;
    let now = Duration::ZERO;
    let foreign_issuer = Claims { issuer: "https://elsewhere.example".into(), ..buyer() };
    let foreign_audience = Claims { audience: "another-shop".into(), ..buyer() };
    let foreign_key = Issuer::generate().unwrap().issue(&buyer(), Clock::system().now()).unwrap();
    let good = house.token("buyer");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (what, token, status, reason) in [
        ("expired", house.issued(&buyer(), Duration::hours(2)), 401, "TOKEN_EXPIRED"),
        ("of another issuer", house.issued(&foreign_issuer, now), 401, "TOKEN_ISSUER"),
        ("for another audience", house.issued(&foreign_audience, now), 401, "TOKEN_AUDIENCE"),
        ("signed with another key", foreign_key, 401, "TOKEN_INVALID"),
        ("with a forged signature", forged, 401, "TOKEN_INVALID"),
        ("with no signature", unsigned(&good), 401, "TOKEN_INVALID"),
        ("that is none", "nonsense".to_owned(), 401, "TOKEN_INVALID"),
        ("of an auditor", house.issued(&Claims::new("eve", ["auditor"]), now), 403, "PERMISSION_DENIED"),
        ("of nobody's role", house.issued(&Claims::new("eve", ["king"]), now), 403, "PERMISSION_DENIED"),
    ] {
        let call = house.client.post(house.url("/v1/orders")).bearer_auth(token).body("{}");
        let (found, word, body) = refused(call).await;
        assert_eq!((found, word.as_str()), (status, reason), "a token {what}: {body}");
    }
}

#[tokio::test]
async fn no_token_is_refused_and_told_what_to_bring() {
    let house = House::start().await;

    let response = house.client.get(house.url("/v1/orders")).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));

    let (_, reason, _) = refused(house.client.get(house.url("/v1/orders"))).await;
    assert_eq!(reason, "TOKEN_MISSING");
    let basic = house.client.get(house.url("/v1/orders")).basic_auth("alice", Some("secret"));
    assert_eq!(refused(basic).await.1, "TOKEN_INVALID");
}

#[tokio::test]
async fn the_permission_that_is_missing_is_named() {
    let house = House::start().await;
    let adjust = house.buyer(Method::POST, "/v1/stock/A-1:adjust").body("{}");

    let (status, _, body) = refused(adjust).await;

    assert_eq!(status, 403);
    assert_eq!(detail(&body, "ErrorInfo")["metadata"]["permission"], "PERMISSION_STOCK_WRITE");
}
