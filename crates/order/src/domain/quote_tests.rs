//! What a quote promises.

use proptest::prelude::*;
use stampede_kit::keyring::MAX_KEY_NAME;
use stampede_types::Pool;

use super::*;
use crate::domain::pricing::{Offer, price};

const OLD: &str = "k1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW: &str = "k2:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

fn wanted(quantities: &[u32]) -> Vec<Wanted> {
    let line = |quantity: &u32| Wanted {
        sku: "TEE".parse().unwrap(),
        pool: Pool::Shelf,
        quantity: (*quantity).try_into().unwrap(),
    };
    quantities.iter().map(line).collect()
}

fn priced(lines: &[Wanted], unit_price: i64) -> Priced {
    let unit_price = Money::new(unit_price, "EUR".parse().unwrap());
    price(lines.iter().map(|line| (line.clone(), Offer { title: "Tee".into(), unit_price })).collect())
        .unwrap()
}

#[test]
fn a_quote_is_good_for_its_buyer_its_basket_and_its_time_alone() {
    let keys = Keys::parse([OLD]).unwrap();
    let (alice, bob): (BuyerId, BuyerId) = ("alice".parse().unwrap(), "bob".parse().unwrap());
    let (lines, others) = (wanted(&[1, 2]), wanted(&[1, 3]));
    let coupons: Vec<Coupon> = vec!["SAVE".parse().unwrap(), "MORE".parse().unwrap()];
    let basket = Basket { buyer: &alice, lines: &lines, coupons: &coupons };
    let quote = keys.sign(basket, &priced(&lines, 100), at(1_000));

    let quoted = keys.check(&quote, basket, at(999)).unwrap();
    assert_eq!((quoted.total.amount_minor(), quoted.lines), (300, vec![100, 200]));
    let turned: Vec<Coupon> = coupons.iter().rev().cloned().collect();
    assert!(keys.check(&quote, Basket { coupons: &turned, ..basket }, at(999)).is_ok());
    assert_eq!(keys.check(&quote, Basket { buyer: &bob, ..basket }, at(999)), Err(Refused::OtherBuyer));
    assert_eq!(keys.check(&quote, Basket { lines: &others, ..basket }, at(999)), Err(Refused::OtherBasket));
    assert_eq!(keys.check(&quote, Basket { coupons: &[], ..basket }, at(999)), Err(Refused::OtherBasket));
    assert_eq!(keys.check(&quote, basket, at(1_000)), Err(Refused::Expired));
    for text in ["", "AAAA", "not base64 at all", &quote[1..]] {
        assert_eq!(keys.check(text, basket, at(999)), Err(Refused::Altered), "{text:?}");
    }
}

#[test]
fn keys_rotate_and_a_key_that_is_gone_verifies_nothing() {
    let alice: BuyerId = "alice".parse().unwrap();
    let lines = wanted(&[1]);
    let basket = Basket { buyer: &alice, lines: &lines, coupons: &[] };
    let (old, both, new) = (Keys::parse([OLD]), Keys::parse([NEW, OLD]), Keys::parse([NEW]));
    let (old, both, new) = (old.unwrap(), both.unwrap(), new.unwrap());
    let quote = old.sign(basket, &priced(&lines, 100), at(1_000));
    assert!(both.check(&quote, basket, at(0)).is_ok());
    assert_eq!(new.check(&quote, basket, at(0)), Err(Refused::Altered));
    assert!(new.check(&both.sign(basket, &priced(&lines, 100), at(1_000)), basket, at(0)).is_ok());
    assert_eq!(format!("{both:?}"), r#"["k2", "k1"]"#);
}

#[test]
fn keys_that_are_none_or_could_be_guessed_are_refused() {
    for bad in [vec![], vec!["k1"], vec!["k1:00"], vec![":00112233445566778899aabbccddeeff"], vec![OLD, OLD]]
    {
        assert!(Keys::parse(bad.iter().copied()).is_none(), "{bad:?}");
    }
}

#[test]
fn a_price_that_moved_says_from_what_to_what_and_which_lines() {
    let alice: BuyerId = "alice".parse().unwrap();
    let lines = wanted(&[1, 2]);
    let basket = Basket { buyer: &alice, lines: &lines, coupons: &[] };
    let keys = Keys::parse([OLD]).unwrap();
    let quote = keys.sign(basket, &priced(&lines, 100), at(1_000));
    let quoted = keys.check(&quote, basket, at(0)).unwrap();
    assert_eq!(quoted.moved(&priced(&lines, 100)), None);
    let moved = quoted.moved(&priced(&lines, 90)).unwrap();
    assert_eq!((moved.quoted.amount_minor(), moved.total.amount_minor()), (300, 270));
    assert_eq!(moved.lines, [(0, 100, 90), (1, 200, 180)]);
}

#[test]
fn the_largest_order_has_a_quote_that_fits_the_contract() {
    let alice: BuyerId = "a".repeat(128).parse().unwrap();
    let lines = wanted(&[1; 100]);
    let basket = Basket { buyer: &alice, lines: &lines, coupons: &[] };
    let key = format!("{}{}", "k".repeat(MAX_KEY_NAME), &OLD[2..]);
    let quote = Keys::parse([key.as_str()]).unwrap().sign(basket, &priced(&lines, 10_000_000_000), at(1_000));
    assert!(quote.len() <= MAX_CHARACTERS, "{}", quote.len());
}

proptest! {
    #[test]
    fn a_quote_with_any_bit_changed_is_refused(bit in 0..10_000_usize) {
        let alice: BuyerId = "alice".parse().unwrap();
        let lines = wanted(&[1, 2, 3]);
        let basket = Basket { buyer: &alice, lines: &lines, coupons: &[] };
        let keys = Keys::parse([OLD]).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(keys.sign(basket, &priced(&lines, 100), at(1_000))).unwrap();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(keys.check(&URL_SAFE_NO_PAD.encode(bytes), basket, at(0)), Err(Refused::Altered));
    }

    #[test]
    fn any_text_is_refused_and_never_a_panic(text in ".{0,200}") {
        let alice: BuyerId = "alice".parse().unwrap();
        let basket = Basket { buyer: &alice, lines: &[], coupons: &[] };
        prop_assert_eq!(Keys::parse([OLD]).unwrap().check(&text, basket, at(0)), Err(Refused::Altered));
    }
}
