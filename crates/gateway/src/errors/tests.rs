//! What a caller sees of a status, reason by reason.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::descriptors;

fn errors() -> Errors {
    let contract = descriptors::read(stampede_proto::DESCRIPTOR_SET).unwrap();
    Errors::new(Schema::build(contract.pool())).unwrap()
}

async fn answer(problem: impl Into<Problem>, language: Language) -> (http::response::Parts, Value) {
    let (parts, body) = errors().response(&problem.into(), language).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_refusal_has_its_declared_status_its_details_and_the_callers_language() {
    let refusal = refusal(ErrorReason::OutOfStock, "nothing is left of A-1")
        .metadata("sku_id", "A-1")
        .field("lines[0].quantity", "is more than there is")
        .retry_after(Duration::from_millis(1500));

    let (parts, body) = answer(refusal, Language::Chinese).await;

    assert_eq!(parts.status, StatusCode::CONFLICT);
    assert_eq!(parts.headers["retry-after"], "2");
    assert_eq!(parts.headers["content-language"], "zh-CN");
    assert_eq!(body["code"], 9);
    assert_eq!(body["message"], "nothing is left of A-1");
    let details = body["details"].as_array().unwrap();
    let of = |name: &str| {
        let wanted = format!("type.googleapis.com/google.rpc.{name}");
        details
            .iter()
            .find(|detail| detail["@type"] == wanted)
            .unwrap_or_else(|| panic!("no {name} in {body}"))
    };
    assert_eq!(of("ErrorInfo")["reason"], "OUT_OF_STOCK");
    assert_eq!(of("ErrorInfo")["domain"], "stampede");
    assert_eq!(of("ErrorInfo")["metadata"], json!({ "sku_id": "A-1" }));
    assert_eq!(of("BadRequest")["fieldViolations"][0]["field"], "lines[0].quantity");
    assert_eq!(of("RetryInfo")["retryDelay"], "1.500s");
    assert_eq!(of("LocalizedMessage")["locale"], "zh-CN");
    assert_eq!(of("LocalizedMessage")["message"], "已售罄。");
}

#[tokio::test]
async fn a_status_without_a_reason_gets_one_and_keeps_its_text_inside() {
    let (parts, body) = answer(Status::unknown("connection to 10.0.0.7 refused"), Language::English).await;

    assert_eq!(parts.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body["details"][0]["reason"], "INTERNAL");
    assert!(!body.to_string().contains("10.0.0.7"), "{body}");
}

#[tokio::test]
async fn a_reason_of_a_newer_service_keeps_the_usual_status_of_its_code() {
    let refusal = Refusal::new(Code::AlreadyExists, "REASON_OF_TOMORROW", "it is there");

    let (parts, body) = answer(refusal, Language::English).await;

    assert_eq!(parts.status, StatusCode::CONFLICT);
    assert_eq!(body["details"][0]["reason"], "REASON_OF_TOMORROW");
}

#[tokio::test]
async fn unavailable_says_when_to_come_back_and_unauthenticated_what_to_bring() {
    let (parts, _) = answer(Refusal::unavailable("gone"), Language::English).await;
    assert_eq!((parts.status.as_u16(), &parts.headers["retry-after"]), (503, &HeaderValue::from(1)));

    let (parts, _) = answer(refusal(ErrorReason::TokenMissing, "no token"), Language::English).await;
    assert_eq!(parts.status, StatusCode::UNAUTHORIZED);
    assert!(parts.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let (parts, body) = answer(Problem::method_not_allowed("GET, HEAD"), Language::English).await;

    assert_eq!(parts.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(parts.headers["allow"], "GET, HEAD");
    assert_eq!(body["details"][0]["reason"], "METHOD_NOT_ALLOWED");
}
