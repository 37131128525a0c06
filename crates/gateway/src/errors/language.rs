//! Which of the languages the contract's texts come in a caller reads best, from `Accept-Language` (RFC 9110, 12.5.4).

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use stampede_proto::Declared;

/// More choices than this are not read.
const MAX_CHOICES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Language {
    #[default]
    English,
    Chinese,
}

impl Language {
    /// The one with the highest weight, the first of equals; English when none of ours is asked for.
    pub(crate) fn of_caller(headers: &HeaderMap) -> Self {
        let Some(text) = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()) else {
            return Self::default();
        };
        let mut best = (Self::default(), 0.0);
        for choice in text.split(',').take(MAX_CHOICES) {
            let (range, weight) = weighed(choice);
            if let Some(language) = Self::named(range)
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }

    fn named(range: &str) -> Option<Self> {
        let primary = range.split('-').next().unwrap_or(range);
        if primary.eq_ignore_ascii_case("zh") {
            Some(Self::Chinese)
        } else if primary.eq_ignore_ascii_case("en") || primary == "*" {
            Some(Self::English)
        } else {
            None
        }
    }

    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// What a buyer is told about the reason.
    pub(crate) fn of(self, declared: &Declared) -> &'static str {
        match self {
            Self::English => declared.en,
            Self::Chinese => declared.zh_cn,
        }
    }
}

fn weighed(choice: &str) -> (&str, f32) {
    let (range, parameters) = choice.split_once(';').unwrap_or((choice, ""));
    let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.parse().ok());
    (range.trim(), weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn chosen(text: &str) -> Language {
        Language::of_caller(&HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_str(text).unwrap())]))
    }

    #[test]
    fn the_highest_weight_wins_and_english_is_the_default() {
        assert_eq!(Language::of_caller(&HeaderMap::new()), Language::English);
        for text in ["zh-CN", "ZH", "fr, zh;q=0.5, en;q=0.4", "zh-Hans-CN,zh;q=0.9,en;q=0.8"] {
            assert_eq!(chosen(text), Language::Chinese, "{text}");
        }
        for text in ["en", "fr", "de-DE", "*", "en-GB,zh", "zh;q=0.1,en", "zh;q=0", "zh;q=x", ",;,", "zh;q=9"]
        {
            assert_eq!(chosen(text), Language::English, "{text}");
        }
    }
}
