//! Input of every wrong kind: a 4xx with a reason and, where there is one, the field; never a 500.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::house::{House, detail, refused};

fn fields(body: &Value) -> Vec<&str> {
    let violations =
        detail(body, "BadRequest")["fieldViolations"].as_array().map(Vec::as_slice).unwrap_or_default();
    violations.iter().filter_map(|violation| violation["field"].as_str()).collect()
}

#[tokio::test]
async fn a_field_that_breaks_its_type_or_rule_is_named() {
    let house = House::start().await;
    let line = |quantity: &str| format!(r#"{{"lines":[{{"skuId":"A-1","quantity":{quantity}}}]}}"#);
    let lines =
        |count: usize| json!({ "lines": vec![json!({ "skuId": "A-1", "quantity": 1 }); count] }).to_string();
    for (what, body, field) in [
        (
            "an unknown field",
            r#"{"lines":[{"skuId":"A-1","quantity":1,"colour":"red"}]}"#.to_owned(),
            "lines[0].colour",
        ),
        ("an unknown field at the top", r#"{"linez":[]}"#.to_owned(), "linez"),
        ("a wrong type", line("\"many\""), "lines[0].quantity"),
        ("a list for a message", r#"{"lines":{}}"#.to_owned(), "lines"),
        ("a negative quantity", line("-1"), "lines[0].quantity"),
        ("a fraction", line("1.5"), "lines[0].quantity"),
        ("quantity 0", line("0"), "lines[0].quantity"),
        ("quantity 1001", line("1001"), "lines[0].quantity"),
        ("2^63", line("9223372036854775808"), "lines[0].quantity"),
        ("2^63 as text", line("\"9223372036854775808\""), "lines[0].quantity"),
        ("no items", r#"{"lines":[]}"#.to_owned(), "lines"),
        ("no body", String::new(), "lines"),
        ("101 lines", lines(101), "lines"),
        ("a bad SKU", r#"{"lines":[{"skuId":"no spaces","quantity":1}]}"#.to_owned(), "lines[0].sku_id"),
        ("a field twice", r#"{"lines":[],"lines":[]}"#.to_owned(), "lines"),
    ] {
        let (status, reason, body) = refused(house.order(body)).await;

        assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"), "{what}: {body}");
        assert_eq!(fields(&body), [field], "{what}: {body}");
        assert_eq!(body["code"], 3);
    }
    assert_eq!(house.order(lines(100)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_and_says_where() {
    let house = House::start().await;
    for body in [
        &b"{\"lines\":[{\"skuId\":\"\xff\",\"quantity\":1}]}"[..],
        b"{\"lines\":[",
        b"[]",
        b"null",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"{\"lines\":[{\"skuId\":\"\\ud800\",\"quantity\":1}]}",
    ] {
        let (status, reason, answer) = refused(house.order(body.to_vec())).await;

        assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"), "{body:?}: {answer}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(refused(house.order(deep)).await.0, 400);
}

#[tokio::test]
async fn a_path_or_a_query_that_cannot_be_read_is_refused_with_its_field() {
    let house = House::start().await;
    for (path, field) in [
        ("/v1/orders/not-a-uuid", "order_id"),
        ("/v1/orders/%FF", "order_id"),
        ("/v1/orders?pageSize=-1", "pageSize"),
        ("/v1/orders?pageSize=101", "page_size"),
        ("/v1/orders?nonsense=1", "nonsense"),
        ("/v1/orders?state=ORDER_STATE_OF_MIND", "state"),
    ] {
        let (status, reason, body) = refused(house.buyer(Method::GET, path)).await;

        assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"), "{path}: {body}");
        assert_eq!(fields(&body), [field], "{path}: {body}");
    }
}

#[tokio::test]
async fn a_key_that_is_missing_or_no_key_is_refused() {
    let house = House::start().await;
    let body = r#"{"lines":[{"skuId":"A-1","quantity":1}]}"#;

    let without = house.buyer(Method::POST, "/v1/orders").body(body);
    let (status, reason, _) = refused(without).await;
    assert_eq!((status, reason.as_str()), (400, "IDEMPOTENCY_KEY_MISSING"));

    let long = house.buyer(Method::POST, "/v1/orders").header("idempotency-key", "k".repeat(129)).body(body);
    let (status, reason, _) = refused(long).await;
    assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"));
}

#[tokio::test]
async fn an_address_a_method_or_a_media_type_that_is_not_there_is_said_to_be() {
    let house = House::start().await;

    for path in ["/v1/nothing", "/", "/v1/orders/", "/v1", "//", "/%00", "/docs/x"] {
        let response = house.buyer(Method::GET, path).send().await.unwrap();
        let status = response.status().as_u16();
        assert!(response.headers().contains_key("x-request-id"));
        assert!(status == 404 || path == "/" && status == 307, "{path}: {status}");
    }
    let (status, reason, _) = refused(house.buyer(Method::GET, "/v1/nothing")).await;
    assert_eq!((status, reason.as_str()), (404, "ROUTE_NOT_FOUND"));

    let response = house.buyer(Method::DELETE, "/v1/orders").send().await.unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST") && !allow.contains("DELETE"), "{allow}");
    let (status, reason, _) = refused(house.buyer(Method::DELETE, "/v1/orders")).await;
    assert_eq!((status, reason.as_str()), (405, "METHOD_NOT_ALLOWED"));
    let (status, reason, _) = refused(house.buyer(Method::POST, "/openapi.json")).await;
    assert_eq!((status, reason.as_str()), (405, "METHOD_NOT_ALLOWED"));

    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
    {
        let order = house.buyer(Method::POST, "/v1/orders").header("content-type", media_type).body("{}");
        let (status, reason, _) = refused(order).await;
        assert_eq!((status, reason.as_str()), (415, "MEDIA_TYPE"), "{media_type}");
    }
    let zipped = house.order("{}").header("content-encoding", "gzip");
    assert_eq!(refused(zipped).await.1, "MEDIA_TYPE");
}

#[tokio::test]
async fn a_request_line_of_any_kind_gets_an_answer_that_is_no_5xx() {
    let house = House::start().await;
    for line in [
        "OPTIONS * HTTP/1.1",
        "CONNECT shop:80 HTTP/1.1",
        "GET http://elsewhere/healthz HTTP/1.1",
        "GET /v1/orders?%%% HTTP/1.1",
        "GET /v1/orders/../../etc HTTP/1.1",
        "GET //v1/orders HTTP/1.1",
        "FROB /v1/orders HTTP/1.1",
        "GET /v1/orders#x HTTP/1.1",
        "POST /v1/orders HTTP/1.0",
        "nonsense",
    ] {
        let mut socket = TcpStream::connect(house.address).await.unwrap();
        let text = format!("{line}\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .unwrap_or_else(|_| panic!("{line}: no answer"))
            .unwrap();

        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(matches!(status.as_bytes(), [b'2' | b'3' | b'4', _, _]), "{line}: {answer:?}");
    }
}
