//! Names the shop and its buyers choose: SKUs, campaigns, pools, buyers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("1 to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit")]
    Slug,
    #[error("1 to 128 characters without control characters")]
    Buyer,
    #[error("\"shelf\" is the name of the shelf, not of a campaign")]
    Shelf,
}

fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 64
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $accept:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let accept: fn(&str) -> Result<(), InvalidName> = $accept;
                accept(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Something that can be sold.
    SkuId,
    |text| if is_slug(text) { Ok(()) } else { Err(InvalidName::Slug) }
);
name!(
    /// A flash campaign.
    CampaignId,
    |text| match text {
        Pool::SHELF => Err(InvalidName::Shelf),
        slug if is_slug(slug) => Ok(()),
        _ => Err(InvalidName::Slug),
    }
);
name!(
    /// The subject of a buyer's token.
    BuyerId,
    |text| {
        let fits = (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
        if fits { Ok(()) } else { Err(InvalidName::Buyer) }
    }
);

/// Where stock stands: on the shelf, or put aside for one campaign. The two never share a counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pool {
    Shelf,
    Campaign(CampaignId),
}

impl Pool {
    /// The shelf's name in stores.
    pub const SHELF: &'static str = "shelf";

    /// The pool's name in stores.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Shelf => Self::SHELF,
            Self::Campaign(id) => id.as_str(),
        }
    }

    /// From a wire `campaign_id`, where empty means the shelf.
    ///
    /// # Errors
    /// Not a campaign's name.
    pub fn from_campaign_id(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() { Ok(Self::Shelf) } else { text.parse().map(Self::Campaign) }
    }

    /// To a wire `campaign_id`, where empty means the shelf.
    #[must_use]
    pub fn campaign_id(&self) -> &str {
        match self {
            Self::Shelf => "",
            Self::Campaign(id) => id.as_str(),
        }
    }

    /// From the name in stores.
    ///
    /// # Errors
    /// Not a pool's name.
    pub fn from_stored(text: &str) -> Result<Self, InvalidName> {
        if text == Self::SHELF { Ok(Self::Shelf) } else { text.parse().map(Self::Campaign) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_begin_with_a_letter_or_digit_and_stay_short() {
        assert!("TEE-black.m_1".parse::<SkuId>().is_ok());
        for bad in ["", "-a", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(bad.parse::<SkuId>(), Err(InvalidName::Slug), "{bad:?}");
        }
    }

    #[test]
    fn the_shelf_is_no_campaign() {
        assert_eq!("shelf".parse::<CampaignId>(), Err(InvalidName::Shelf));
        assert_eq!(Pool::from_campaign_id(""), Ok(Pool::Shelf));
        assert_eq!(Pool::from_stored("shelf"), Ok(Pool::Shelf));
        assert_eq!(Pool::from_campaign_id("flash").map(|p| p.as_str().to_owned()), Ok("flash".into()));
    }

    #[test]
    fn buyers_have_no_control_characters() {
        assert!("alice@example.com".parse::<BuyerId>().is_ok());
        assert_eq!("a\u{0}b".parse::<BuyerId>(), Err(InvalidName::Buyer));
        assert_eq!("".parse::<BuyerId>(), Err(InvalidName::Buyer));
    }
}
