//! The documentation and the pages operators ask for.

use serde_json::Value;
use stampede_kit::contract::Contract;
use stampede_transcode::{Found, RequestOptions, Router, UnknownFields};

use crate::house::House;

async fn document(house: &House) -> Value {
    let response = house.client.get(house.url("/openapi.json")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn every_route_is_documented_with_its_permission_its_deadline_and_its_refusals() {
    let house = House::start().await;
    let document = document(&house).await;
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let routes = Router::build(contract.pool()).unwrap();

    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["x-error-reasons"]["OUT_OF_STOCK"]["http"], 409);
    assert_eq!(document["x-error-reasons"]["OUT_OF_STOCK"]["code"], "FAILED_PRECONDITION");
    assert!(routes.routes().len() >= 40, "the contract has {} routes", routes.routes().len());
    for route in routes.routes() {
        let method = route.http_method().to_ascii_lowercase();
        // Templates that differ only in what they call a variable share one path.
        let mut items = document["paths"].as_object().unwrap().values();
        let here = |item: &&Value| item[&method]["x-grpc-method"] == route.grpc_path();
        let operation = &items.find(here).unwrap_or(&Value::Null)[&method];
        let declared = contract.method(route.grpc_path()).unwrap();
        let named = format!("{method} {}", route.template());
        assert_eq!(operation["x-grpc-method"], route.grpc_path(), "{named}");
        assert!(operation["x-deadline-ms"].as_u64().is_some_and(|deadline| deadline > 0), "{named}");
        let open = declared.access.trusted_peers.iter().any(|peer| peer == "gateway");
        assert_eq!(operation.get("x-permission").is_none(), open, "{named}");
        for status in ["400", "406", "429", "431", "503", "504"] {
            assert!(operation["responses"].get(status).is_some(), "{named} documents {status}");
        }
        for status in ["408", "413", "415"] {
            let of_body = operation["responses"].get(status).is_some();
            assert_eq!(of_body, route.takes_body(), "{named} documents {status}");
        }
    }
}

#[tokio::test]
async fn reasons_that_the_contract_names_are_documented_where_it_names_them() {
    let house = House::start().await;
    let document = document(&house).await;

    let every = stampede_proto::common::v1::ErrorReason::every().count();
    assert_eq!(document["x-error-reasons"].as_object().unwrap().len(), every, "numbers have gaps");
    let responses = &document["paths"]["/v1/stock/{sku_id}:backorder"]["post"]["responses"];
    let promised = &responses["409"]["content"]["application/json"]["examples"]["BACKORDER_PROMISED"]["$ref"];
    let example = document.pointer(promised.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
    assert_eq!(example["value"]["details"][0]["reason"], "BACKORDER_PROMISED");
    let sku = &document["components"]["schemas"]["stampede.inventory.v1.Sku"];
    assert_eq!(sku["properties"]["createdAt"]["readOnly"], true);
    assert_eq!(sku["required"], serde_json::json!(["skuId", "title", "price"]));
    let feed = &document["paths"]["/v1/stock:watch"]["get"];
    assert_eq!(feed["x-roles"], serde_json::json!(["buyer", "staff", "auditor", "guest"]));
    assert_eq!(feed["security"][1], serde_json::json!({ "feedToken": [] }));
    assert_eq!(document["paths"]["/v1/orders"]["get"]["security"].as_array().unwrap().len(), 1);
}

/// Examples are worth nothing unless the edge and the field rules take them.
#[tokio::test]
async fn every_example_of_a_request_is_one_the_contract_takes() {
    let house = House::start().await;
    let document = document(&house).await;
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let routes = Router::build(contract.pool()).unwrap();
    let strict = RequestOptions { unknown_fields: UnknownFields::Refuse };
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // Every variable of a path that has a body is an id.
        let address: String = path
            .split('{')
            .enumerate()
            .map(|(index, part)| match index {
                0 => part.to_owned(),
                _ => format!("0190b2c4-7e1f-7000-8000-000000000001{}", part.split_once('}').unwrap().1),
            })
            .collect();
        for (method, operation) in item.as_object().unwrap() {
            let content = &operation["requestBody"]["content"];
            let example = match (
                &content["application/json"]["example"],
                &content["application/x-ndjson"]["example"],
            ) {
                (Value::Null, Value::Null) => continue,
                (Value::Null, line) => line.as_str().unwrap().to_owned(),
                (body, _) => body.to_string(),
            };
            let method = method.to_ascii_uppercase().parse().unwrap();
            let Found::Match(found) = routes.find(&method, &address) else { panic!("{method} {address}") };
            let mut wire = Vec::new();
            found
                .request(None, example.as_bytes(), &strict, &mut wire)
                .unwrap_or_else(|error| panic!("{method} {path}: {error}: {example}"));
            let broken = contract.rules_of(found.route.grpc_path()).unwrap().check(&wire);
            assert!(broken.is_empty(), "{method} {path}: {broken:?}: {example}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried} requests have an example");
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| walk(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let house = House::start().await;
    let document = document(&house).await;
    let mut references = Vec::new();
    walk(&document, &mut references);

    assert!(!references.is_empty());
    for reference in references {
        let pointer =
            reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is not in the document"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn the_page_brings_everything_it_needs() {
    let house = House::start().await;

    let response = house.client.get(house.url("/docs")).send().await.unwrap();

    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let page = response.text().await.unwrap();
    assert!(page.contains("/openapi.json"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page asks nobody else");
}

#[tokio::test]
async fn operators_find_health_readiness_and_numbers_by_rpc() {
    let house = House::start().await;
    house.order(r#"{"lines":[{"skuId":"A-1","quantity":1}]}"#).send().await.unwrap();

    for path in ["/healthz", "/readyz"] {
        let response = house.client.get(house.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.headers().contains_key("x-request-id"));
    }
    let metrics = house.client.get(house.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|line| {
        line.starts_with("http_server_request_duration_seconds_count")
            && line.contains("face=\"rest\"")
            && line.contains("method=\"/stampede.order.v1.OrderService/CreateOrder\"")
            && line.contains("status=\"200\"")
    });
    assert!(line.is_some(), "{metrics}");
}
