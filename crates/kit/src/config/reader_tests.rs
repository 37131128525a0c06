//! What a reader of settings promises.

use std::io::Write as _;
use std::time::Duration;

use super::*;
use crate::config::{Ratio, Server};

#[derive(Debug)]
struct Example {
    listen: std::net::SocketAddr,
    wait: Duration,
    share: f64,
}

fn example(reader: &mut Reader) -> Result<Example, Problems> {
    let listen = reader.required("listen");
    let wait = reader.or("wait_ms", Duration::from_millis(7));
    let share = reader.or("otlp.sample", Ratio(0.5));
    reader.finish(|| Some(Example { listen: listen?, wait, share: share.0 }))
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
    let file = file("listen = \"127.0.0.1:1\"\nwait_ms = 20\n[otlp]\nsample = 1\n");
    let path = file.path().to_str().unwrap();
    let mut reader = Reader::from_pairs("order", [("config", path), ("listen", "127.0.0.1:2")]);
    let read = example(&mut reader).unwrap();
    assert_eq!(read.listen.port(), 2);
    assert_eq!(read.wait, Duration::from_millis(20));
    assert_eq!(read.share, 1.0);
    let mut reader = Reader::from_pairs("order", [("listen", "127.0.0.1:2")]);
    assert_eq!(example(&mut reader).unwrap().wait, Duration::from_millis(7));
}

#[test]
fn every_problem_is_reported_at_once_with_its_variable_and_its_file_key() {
    let file = file("wait_ms = \"soon\"\n[otlp]\nsample = 2.5\ncolour = \"red\"\n");
    let path = file.path().to_str().unwrap();
    let mut reader = Reader::from_pairs("psp-simulator", [("config", path), ("lisen", "127.0.0.1:2")]);
    let text = example(&mut reader).unwrap_err().to_string();
    for line in [
        "PSP_SIMULATOR_LISTEN (in the file: listen): is missing; expected an address and port, such as 127.0.0.1:8080",
        "PSP_SIMULATOR_WAIT_MS (in the file: wait_ms): expected a whole number of milliseconds, found \"soon\" in the file",
        "PSP_SIMULATOR_OTLP_SAMPLE (in the file: otlp.sample): expected a number from 0 to 1, found \"2.5\" in the file",
        "PSP_SIMULATOR_LISEN: is not a setting of this service",
        "otlp.colour in the file: is not a setting of this service",
    ] {
        assert!(text.lines().any(|found| found.trim() == line), "{line:?} is not in\n{text}");
    }
    assert_eq!(text.lines().count(), 6);
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_of_the_variable_that_names_it() {
    let pairs = [("config", "/nonexistent/order.toml"), ("listen", "127.0.0.1:2")];
    let problems = example(&mut Reader::from_pairs("order", pairs)).unwrap_err();
    assert_eq!(problems.0.len(), 1);
    assert_eq!(problems.0[0].place, "ORDER_CONFIG");
}

#[test]
fn an_empty_variable_is_an_unset_one_and_kubernetes_links_are_nobodys_mistake() {
    let pairs = [
        ("listen", "127.0.0.1:2"),
        ("wait_ms", ""),
        ("service_host", "10.0.0.1"),
        ("port", "tcp://10.0.0.1:50051"),
        ("port_50051_tcp_addr", "10.0.0.1"),
    ];
    assert!(example(&mut Reader::from_pairs("order", pairs)).is_ok());
}

#[test]
fn a_key_read_twice_is_wrong_once() {
    let mut reader = Reader::from_pairs("order", [("otlp.sample", "many")]);
    crate::telemetry::Settings::read(&mut reader);
    crate::telemetry::Settings::read(&mut reader);
    assert_eq!(reader.finish(|| Some(())).unwrap_err().0.len(), 1);
}

#[test]
fn the_common_settings_of_a_server_have_their_defaults() {
    let mut reader = Reader::from_pairs(
        "order",
        [
            ("listen", "127.0.0.1:2"),
            ("admin.listen", "127.0.0.1:3"),
            ("tls.cert", "a"),
            ("tls.key", "b"),
            ("tls.ca", "c"),
            ("jwt.jwks", "d"),
        ],
    );
    let server = Server::read(&mut reader);
    let server = reader.finish(|| server).unwrap();
    assert_eq!(server.service, "order");
    assert_eq!(server.environment, "dev");
    assert_eq!(server.drain, Duration::from_secs(10));
    assert_eq!(server.limits.message_bytes, 1024 * 1024);
    assert_eq!(server.jwt.audience, "stampede");
}
