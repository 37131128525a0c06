//! `application/x-www-form-urlencoded`, as Stripe takes bodies and queries: pairs in their order, everything but letters, digits and `-._~`
//! as `%XX` of its UTF-8 bytes.

use std::fmt::Write as _;

/// It may hold what somebody pays with: it never prints.
#[derive(Default)]
pub struct Form(String);

impl Form {
    /// Of a name that comes twice the later value counts: none is sent twice.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name = encode(name);
        let others: Vec<&str> = self
            .0
            .split('&')
            .filter(|pair| !pair.is_empty() && pair.split_once('=').map(|(known, _)| known) != Some(&name))
            .collect();
        let mut text = others.join("&");
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&name);
        text.push('=');
        text.push_str(&encode(value));
        self.0 = text;
        self
    }

    #[must_use]
    pub fn encoded(&self) -> &str {
        &self.0
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String never fails.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_everything_else_that_is_not_plain_is_escaped_and_a_name_is_sent_once() {
        let form = Form::default().with("amount", "1").with("metadata[a b]", "é&=").with("amount", "100");
        assert_eq!(form.encoded(), "metadata%5Ba%20b%5D=%C3%A9%26%3D&amount=100");
    }
}
