//! The document is one that tools can read: references lead somewhere, ids are unique, parameters match their paths.

use std::collections::HashSet;

use serde_json::{Value, json};
use stampede_transcode::openapi::{self, ErrorResponse, HeaderParameter, MethodExtras, OpenApiOptions};

use crate::support::ROUTER;

fn components() -> serde_json::Map<String, Value> {
    let components = json!({
        "headers": { "X-Request-Id": { "schema": {} }, "Retry-After": { "schema": {} } },
        "examples": { "IN_FLIGHT": { "value": {} } },
        "securitySchemes": { "address": { "type": "apiKey", "in": "query", "name": "access_token" } },
    });
    components.as_object().unwrap().clone()
}

fn document() -> Value {
    openapi::document(
        &ROUTER,
        &OpenApiOptions {
            title: "Shop".into(),
            version: "1".into(),
            description: "Sells.".into(),
            servers: vec!["/".into()],
            method_extras: &|route| MethodExtras {
                public: route.descriptor().name() == "ListOrders",
                extensions: serde_json::Map::from_iter([("x-permission".into(), json!("BUY"))]),
                headers: vec![HeaderParameter {
                    name: "Idempotency-Key".into(),
                    description: "Once.".into(),
                    required: true,
                    schema: json!({ "type": "string", "maxLength": 128 }),
                }],
                also_secured_by: match route.is_server_streaming() {
                    true => vec!["address".into()],
                    false => Vec::new(),
                },
                response_headers: vec!["X-Request-Id".into()],
                errors: vec![ErrorResponse {
                    status: 409,
                    description: "In flight.".into(),
                    headers: vec!["Retry-After".into()],
                    examples: vec!["IN_FLIGHT".into()],
                    bare: false,
                }],
            },
            components: components(),
            refused: "Refused.".into(),
        },
    )
}

fn visit(value: &Value, see: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            see(members);
            members.values().for_each(|inner| visit(inner, see));
        }
        Value::Array(items) => items.iter().for_each(|inner| visit(inner, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_null() {
    let document = document();
    let mut count = 0;
    visit(&document, &mut |members| {
        if let Some(Value::String(reference)) = members.get("$ref") {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some_and(Value::is_object), "{reference}");
            count += 1;
        }
    });
    assert!(count > 20);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema.is_object(), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{name}");
    }
}

#[test]
fn operation_ids_are_unique_and_parameters_match_their_paths() {
    let document = document();
    let mut ids = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with('/'));
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            let empty = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&empty);
            let keys: Vec<_> =
                parameters.iter().map(|parameter| (&parameter["in"], &parameter["name"])).collect();
            assert_eq!(keys.len(), keys.iter().collect::<HashSet<_>>().len(), "{method} {path}");
            let named = |parameter: &&Value| parameter["in"] == "path";
            for parameter in parameters.iter().filter(named) {
                assert_eq!(parameter["required"], true);
                assert!(path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())), "{path}");
            }
            assert_eq!(path.matches('{').count(), parameters.iter().filter(named).count(), "{method} {path}");
            assert!(operation["responses"]["200"]["description"].is_string());
            assert!(operation["x-permission"] == "BUY" && operation["responses"]["409"].is_object());
        }
    }
    // Twelve bindings, less the one whose HTTP method has no name in OpenAPI.
    assert_eq!(ids.len(), 11);
}

#[test]
fn comments_rules_and_behaviours_are_in_the_schemas() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let line = &schemas["test.shop.v1.Line"];
    assert_eq!(line["description"], "One position.");
    assert_eq!(
        line["properties"]["sku"],
        json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Z0-9-]+$" })
    );
    assert_eq!(
        line["properties"]["quantity"],
        json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 100 })
    );
    assert_eq!(line["properties"]["priceMinor"]["description"], "Must be more than 0.");
    let request = &schemas["test.shop.v1.CreateOrderRequest"];
    assert_eq!(request["properties"]["lines"]["maxItems"], 100);
    assert_eq!(request["properties"]["orderId"]["format"], "uuid");
    let order = &schemas["test.shop.v1.Order"]["properties"];
    assert_eq!(order["orderId"]["readOnly"], true);
    assert_eq!(order["view"]["deprecated"], true);
    assert_eq!(order["lines"]["description"], "The positions.");
    assert_eq!(schemas["test.shop.v1.View"]["enum"], json!(["VIEW_UNSPECIFIED", "VIEW_BASIC", "VIEW_FULL"]));
}

#[test]
fn operations_say_what_they_take_and_give() {
    let document = document();
    let paths = &document["paths"];
    let create = &paths["/v1/orders"]["post"];
    assert_eq!(
        (&create["summary"], &create["security"]),
        (&json!("Places an order"), &json!([{ "bearer": [] }]))
    );
    assert_eq!(create["description"], "Places an order. All or nothing.");
    assert_eq!(paths["/v1/orders"]["get"]["security"], json!([]));
    assert_eq!(
        paths["/v1/orders"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"],
        "array"
    );
    let watch = &paths["/v1/orders/{order_id}:watch"]["get"];
    assert!(watch["responses"]["200"]["content"]["text/event-stream"]["schema"].is_object());
    let names: Vec<_> =
        watch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    for name in [
        "order_id",
        "view",
        "buyer.id",
        "buyer.tags",
        "numbers",
        "mask",
        "since",
        "again.orderId",
        "Idempotency-Key",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let cancel = &paths["/v1/orders/{order_id}:cancel"]["post"]["requestBody"]["content"]["application/json"]
        ["schema"];
    assert!(cancel["properties"]["orderId"].is_null() && cancel["properties"]["view"].is_object());
    assert!(paths["/v1/shelves/{name}"]["delete"].is_object());
    assert!(paths["/v1/orders:import"]["post"]["requestBody"]["content"]["application/x-ndjson"].is_object());
    assert_eq!(
        document["tags"],
        json!([{ "name": "test.shop.v1.ShopService", "description": "Sells things." }])
    );
}

#[test]
fn what_a_rule_refuses_to_be_absent_is_required_and_an_example_has_just_that() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    // A pattern that nothing matches, at least one, more than none; the rest may be left out.
    assert_eq!(schemas["test.shop.v1.Line"]["required"], json!(["sku", "quantity", "priceMinor"]));
    assert_eq!(schemas["test.shop.v1.CreateOrderRequest"]["required"], json!(["orderId", "lines", "buyer"]));
    let create = &document["paths"]["/v1/orders"]["post"]["requestBody"];
    assert_eq!(create["required"], true);
    let example = &create["content"]["application/json"]["example"];
    let members: Vec<_> = example.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["buyer", "lines", "orderId"]);
    assert_eq!(example["lines"], json!([{ "sku": "EUR", "quantity": 1, "priceMinor": "1" }]));
    let import = &document["paths"]["/v1/orders:import"]["post"]["requestBody"]["content"];
    assert!(import["application/x-ndjson"]["example"].as_str().unwrap().ends_with("}\n"));
    let cancel = &document["paths"]["/v1/orders/{order_id}:cancel"]["post"]["requestBody"];
    assert_eq!(cancel["required"], false);
}

#[test]
fn refusals_and_ways_in_are_those_of_the_house() {
    let document = document();
    let watch = &document["paths"]["/v1/orders/{order_id}:watch"]["get"];
    assert_eq!(watch["security"], json!([{ "bearer": [] }, { "address": [] }]));
    let conflict = &watch["responses"]["409"];
    assert_eq!(conflict["headers"]["Retry-After"]["$ref"], "#/components/headers/Retry-After");
    assert_eq!(conflict["headers"]["X-Request-Id"]["$ref"], "#/components/headers/X-Request-Id");
    let examples = &conflict["content"]["application/json"]["examples"];
    assert_eq!(examples["IN_FLIGHT"]["$ref"], "#/components/examples/IN_FLIGHT");
    assert_eq!(watch["responses"]["default"]["description"], "Refused.");
}
