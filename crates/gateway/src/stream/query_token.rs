//! The token of a feed in its address: browsers' EventSource can send no header (RFC 6750, 2.3). Only streams take it there, for addresses are
//! written into the logs of whatever lies between; ours write none.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Uri};

const PARAMETER: &str = "access_token=";

/// Whether the address of a request that brings no other token has one.
pub(crate) fn is_there(parts: &Parts) -> bool {
    parts.method == Method::GET
        && parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with(PARAMETER)))
        && !parts.headers.contains_key(AUTHORIZATION)
}

/// Moves it to where every other face has it.
pub(crate) fn take(parts: &mut Parts) {
    let query = parts.uri.query().unwrap_or_default();
    let Some(token) = query.split('&').find_map(|pair| pair.strip_prefix(PARAMETER)) else { return };
    let Ok(mut bearer) = HeaderValue::try_from(format!("Bearer {token}")) else { return };
    bearer.set_sensitive(true);
    let rest: Vec<_> = query.split('&').filter(|pair| !pair.starts_with(PARAMETER)).collect();
    let address = match rest.is_empty() {
        true => parts.uri.path().to_owned(),
        false => format!("{}?{}", parts.uri.path(), rest.join("&")),
    };
    let Ok(address) = PathAndQuery::try_from(address) else { return };
    parts.uri = Uri::from(address);
    parts.headers.insert(AUTHORIZATION, bearer);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str) -> Parts {
        http::Request::get(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_token_leaves_the_address_and_the_rest_stays() {
        for (before, after) in [
            ("/a:watch?access_token=t.o.k", "/a:watch"),
            ("/a:watch?x=1&access_token=t.o.k&y=2", "/a:watch?x=1&y=2"),
        ] {
            let mut parts = parts(before);
            assert!(is_there(&parts));
            take(&mut parts);
            assert_eq!(
                (parts.uri.to_string().as_str(), &parts.headers[AUTHORIZATION]),
                (after, &HeaderValue::from_static("Bearer t.o.k"))
            );
        }
        assert!(!is_there(&parts("/a?x_access_token=1")));
    }
}
