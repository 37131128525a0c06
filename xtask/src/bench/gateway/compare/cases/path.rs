//! Methods and paths.

use http::Method;

use super::{Base, Case, VARIABLE};

/// A variable as it may come over the wire.
const VARIABLES: [(&str, &str); 12] = [
    ("path: a space, encoded", "v%201"),
    ("path: a slash, encoded", "v%2F1"),
    ("path: a colon", "v:1"),
    ("path: a colon, encoded", "v%3A1"),
    ("path: a plus", "v+1"),
    ("path: letters beyond ASCII, encoded", "%C3%A9"),
    ("path: lower-case hexadecimal", "%c3%a9"),
    ("path: encoded bytes that are no UTF-8", "%FF"),
    ("path: a broken escape", "v%zz"),
    ("path: an escape cut short", "v%4"),
    ("path: an empty variable", ""),
    ("path: two dots", ".."),
];

pub fn cases(base: &Base<'_>) -> Vec<Case> {
    let good = || base.good("good");
    let path = &base.path;
    let mut cases = vec![
        good(),
        Case { method: Method::DELETE, ..base.good("method: wrong") },
        Case { method: Method::OPTIONS, ..base.good("method: OPTIONS") },
        base.to("path: a slash at the end", format!("{path}/")),
        base.to("path: two slashes", path.replacen("/v1/", "/v1//", 1)),
        base.to("path: capitals", path.replacen("/v1/", "/V1/", 1)),
        base.to("path: an escape in a literal", path.replacen("/v1/", "/%761/", 1)),
        base.to("path: unknown", format!("{path}zz/zz")),
        base.to("path: an unknown verb", format!("{path}:zz")),
    ];
    if base.method == Method::GET {
        cases.push(Case { method: Method::HEAD, ..base.good("method: HEAD") });
    }
    if path.contains(VARIABLE) && base.route.template().contains('{') {
        let with = |(name, value): &(&'static str, &str)| base.to(name, path.replacen(VARIABLE, value, 1));
        cases.extend(VARIABLES.iter().map(with));
    }
    cases
}
