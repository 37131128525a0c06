//! Which request goes where.

use stampede_transcode::{Found, RouteError};

use crate::support::{ROUTER, build, find};

fn method_of(method: &str, path: &str) -> String {
    find(method, path).route.descriptor().name().to_owned()
}

#[test]
fn every_form_of_template_finds_its_method() {
    for (method, path, name) in [
        ("POST", "/v1/orders", "CreateOrder"),
        ("GET", "/v1/orders", "ListOrders"),
        ("HEAD", "/v1/orders", "ListOrders"),
        ("GET", "/v1/orders/42", "GetOrder"),
        ("GET", "/v1/buyers/b/orders/42", "GetOrder"),
        ("POST", "/v1/orders/42:cancel", "CancelOrder"),
        ("GET", "/v1/orders/42:watch", "WatchOrder"),
        ("POST", "/v1/orders:import", "ImportOrders"),
        ("GET", "/v1/shelves/s/files/a/b/c", "GetFile"),
        ("GET", "/v1/shelves/s/files", "GetFile"),
        ("DELETE", "/v1/shelves/s", "DeleteFile"),
        ("PURGE", "/v1/cache/x", "Purge"),
        ("GET", "/v%31/order%73/42", "GetOrder"),
    ] {
        assert_eq!(method_of(method, path), name, "{method} {path}");
    }
    assert!(find("GET", "/v1/orders/1:watch").route.is_server_streaming());
    assert!(find("POST", "/v1/orders:import").route.is_client_streaming());
    assert_eq!(find("POST", "/v1/orders").route.grpc_path(), "/test.shop.v1.ShopService/CreateOrder");
}

#[test]
fn a_colon_that_is_no_verb_belongs_to_the_value() {
    let found = find("GET", "/v1/orders/a:b");
    assert_eq!(found.variables().unwrap(), [("order_id", "a:b".to_owned())]);
    let found = find("POST", "/v1/orders/a:b:cancel");
    assert_eq!(found.variables().unwrap(), [("order_id", "a:b".to_owned())]);
    let found = find("GET", "/v1/orders/a%3Awatch");
    assert_eq!(found.variables().unwrap(), [("order_id", "a:watch".to_owned())]);
}

#[test]
fn a_verb_that_another_method_has_is_no_part_of_a_value() {
    match ROUTER.find(&http::Method::GET, "/v1/orders/42:cancel") {
        Found::MethodNotAllowed { allow } => assert_eq!(allow, "POST"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        find("GET", "/v1/orders/42%3Acancel").variables().unwrap(),
        [("order_id", "42:cancel".to_owned())]
    );
}

#[test]
fn variables_are_decoded_as_far_as_they_may_be() {
    let found = find("GET", "/v1/orders/a%2Fb%20c+d");
    assert_eq!(found.variables().unwrap(), [("order_id", "a/b c+d".to_owned())]);
    let found = find("GET", "/v1/shelves/s/files/a%2Fb/c%20d");
    assert_eq!(found.variables().unwrap(), [("name", "shelves/s/files/a%2Fb/c d".to_owned())]);
    assert!(find("GET", "/v1/orders/%ff").variables().is_err());
    assert!(find("GET", "/v1/orders/%4").variables().is_err());
}

#[test]
fn another_method_is_told_which_ones_there_are() {
    match ROUTER.find(&http::Method::DELETE, "/v1/orders/42") {
        Found::MethodNotAllowed { allow } => assert_eq!(allow, "GET, HEAD, PATCH, PUT"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_nobody_has_are_not_found() {
    let long = "/a".repeat(10_000);
    for path in [
        "",
        "/",
        "/v1",
        "/v1/",
        "/v1/orders/",
        "/v1//orders",
        "v1/orders",
        "/v1/orders/1/2",
        "/V1/orders",
        &long,
    ] {
        assert!(matches!(ROUTER.find(&http::Method::GET, path), Found::NotFound), "{path}");
    }
}

#[test]
fn two_methods_on_one_route_are_an_error_that_names_both() {
    let error = build(
        "rpc First(In) returns (Out) { option (google.api.http) = { get: \"/v1/{a}\" }; }
         rpc Second(In) returns (Out) { option (google.api.http) = { get: \"/v1/{inner.a=*}\" }; }",
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "one.S.First and one.S.Second both answer GET /v1/{inner.a=*}");
}

#[test]
fn a_literal_goes_before_a_variable() {
    let router = build(
        "rpc Any(In) returns (Out) { option (google.api.http) = { get: \"/v1/{a}\" }; }
         rpc All(In) returns (Out) { option (google.api.http) = { get: \"/{a=**}\" }; }
         rpc One(In) returns (Out) { option (google.api.http) = { get: \"/v1/one\" }; }
         rpc Star(In) returns (Out) { option (google.api.http) = { custom: { kind: \"*\" path: \"/star\" } }; }",
    )
    .unwrap();
    for (method, path, name) in [
        ("GET", "/v1/one", "One"),
        ("GET", "/v1/two", "Any"),
        ("GET", "/v1/two/three", "All"),
        ("GET", "/", "All"),
        ("DELETE", "/star", "Star"),
        ("GET", "/star", "Star"),
    ] {
        match router.find(&method.parse().unwrap(), path) {
            Found::Match(found) => assert_eq!(found.route.descriptor().name(), name, "{method} {path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn rules_that_cannot_work_are_refused_when_the_router_is_built() {
    for rule in [
        "get: \"/v1/{missing}\"",
        "get: \"/v1/{list}\"",
        "get: \"/v1/{inner}\"",
        "get: \"/v1/{a.a}\"",
        "get: \"/v1/{a}/{a}\"",
        "get: \"v1\"",
        "get: \"/**/b\"",
        "post: \"/v1\" body: \"missing\"",
        "post: \"/v1/{a}\" body: \"a\"",
        "get: \"/v1\" response_body: \"missing\"",
        "custom: { path: \"/v1\" }",
    ] {
        let service = format!("rpc First(In) returns (Out) {{ option (google.api.http) = {{ {rule} }}; }}");
        let error = build(&service).unwrap_err();
        assert!(matches!(error, RouteError::Rule { .. }), "{rule}: {error}");
    }
}
