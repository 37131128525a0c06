//! Why ours differs from Envoy where it does. A difference without a reason here fails the comparison: it is new, and somebody has to
//! decide which of the two is right.

/// A reason, and the cases it explains.
type Reason = (&'static str, &'static [&'static str]);

const REASONS: [Reason; 15] = [
    (
        "what is not understood is a mistake, and is refused with its place: Envoy drops it in silence, or hands the REST request to \
         a service that speaks gRPC",
        &[
            "body: an unknown field",
            "body: an unknown field of a message inside",
            "body: something where none is taken",
            "query: an unknown parameter",
            "query: into a field that is no message",
            "query: a parameter without a name",
        ],
    ),
    (
        "with `body: \"*\"` no field is left for the query (google.api.http): one place for each field",
        &["query: a field of the body"],
    ),
    (
        "JSON is RFC 8259: a text that only some readers take means other things to others",
        &[
            "body: a comma at the end",
            "body: single quotes",
            "body: names without quotes",
            "body: a line break in a string",
            "body: an unknown escape",
        ],
    ),
    (
        "two values for one field: whoever checked the one may have meant the other to be refused",
        &["body: the same field twice", "query: a single field, twice"],
    ),
    ("the address decides: what was authorised is what is done", &["body: a field the path has too"]),
    (
        "canonical proto3 JSON has another type here: Envoy guesses, and makes an object of a list, a list of an object, a message of \
         nothing",
        &[
            "body: a list for a message",
            "body: a list in a list",
            "body: an object for a list",
            "body: null in a list",
            "body: a bool in quotes",
            "body: an enum by a number in quotes",
            "body: a time as an object",
            "body: a field mask as an object",
        ],
    ),
    (
        "canonical proto3 JSON takes it: integers with a point or an exponent, in quotes or not, if they are whole",
        &[
            "body: a 64-bit number in quotes with an exponent",
            "query: a number with a point",
            "query: a number with an exponent",
        ],
    ),
    ("RFC 3339 takes small letters", &["body: a time in small letters"]),
    ("a Timestamp has no leap seconds; Envoy makes another instant of it", &["body: a leap second"]),
    (
        "a path of a field mask is in lowerCamelCase: what has underscores does not come back as it went",
        &["body: a field mask with underscores"],
    ),
    ("base64 has no line breaks (RFC 4648, section 3.1)", &["body: base64 with a line break"]),
    (
        "enums are open in proto3: a newer client's value reaches the service, in a query as in a body",
        &["query: an enum by an unknown number"],
    ),
    (
        "a query is read as every browser writes a form: a plus is a space; numbers and bools are those of JSON",
        &[
            "query: a plus",
            "query: a time with a raw plus",
            "query: a number with a plus",
            "query: a bool as 1",
            "query: a bool in capitals",
            "query: no bool",
        ],
    ),
    ("a blank body is no body, which both take for an empty message", &["body: nothing but a space"]),
    (
        "an address has one spelling but for its escapes (RFC 3986), and every request has its own answer: 400, 404, 405 with Allow, \
         HEAD as GET without its body. Envoy hands what it does not know to the service, which speaks gRPC and cannot answer it",
        &[
            "method: HEAD",
            "method: OPTIONS",
            "method: wrong",
            "path: unknown",
            "path: an unknown verb",
            "path: capitals",
            "path: two slashes",
            "path: a slash at the end",
            "path: an empty variable",
            "path: an escape in a literal",
            "path: a broken escape",
            "path: an escape cut short",
            "path: encoded bytes that are no UTF-8",
            "query: a broken escape",
            "query: encoded bytes that are no UTF-8",
        ],
    ),
];

/// Why the two differ in a case; nothing when nobody has said.
pub fn why(case: &str) -> Option<&'static str> {
    REASONS.iter().find(|(_, cases)| cases.contains(&case)).map(|(why, _)| *why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::gateway::compare::cases;
    use stampede_kit::Contract;
    use stampede_transcode::Router;

    #[test]
    fn every_reason_is_for_cases_there_are_and_each_case_has_one() {
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
        let router = Router::build(contract.pool()).unwrap();
        let made = router.routes().iter().flat_map(|route| cases::of(route).unwrap());
        let there: BTreeSet<&str> = made.map(|case| case.name).collect();
        let explained: Vec<&str> = REASONS.iter().flat_map(|(_, cases)| *cases).copied().collect();
        for case in &explained {
            assert!(there.contains(case), "{case} is no case");
        }
        assert_eq!(
            explained.iter().collect::<BTreeSet<_>>().len(),
            explained.len(),
            "a case has two reasons"
        );
        assert!(why("good").is_none(), "the good request is the same for everybody");
    }
}
