//! Whether free text carries a card number, so that none is ever kept: this house never needs one. It keeps nothing of the text. Reasons,
//! notes, titles, coupons and payment tokens are looked at; ids are not, since barcodes and other people's numbers may look like cards, and
//! idempotency keys are not, since only what follows from their hash is kept.

/// The rule a field breaks that carries one.
pub const NO_CARD_NUMBER: &str = "must not carry a card number";

/// How long card numbers are.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether the text has 13 to 19 digits in a row (single blanks, dots and dashes between them do not count) that begin like a card
/// network's numbers and whose check digit fits (Luhn, ISO/IEC 7812-1). An id in hexadecimal is no such row: letters end it.
#[must_use]
pub fn has_card_number(text: &str) -> bool {
    let mut row: Vec<u8> = Vec::new();
    let mut gap = false;
    for character in text.chars() {
        match (character.to_digit(10), character) {
            (Some(digit), _) => {
                row.push(digit as u8);
                gap = false;
            }
            (None, ' ' | '-' | '.') if !gap && !row.is_empty() => gap = true,
            (None, _) => {
                if is_card_number(&row) {
                    return true;
                }
                row.clear();
                gap = false;
            }
        }
    }
    is_card_number(&row)
}

/// The text with every run of 13 to 19 digits that would be a card number made of ones. Runs that are grouped are left: a machine
/// writes none.
#[must_use]
pub fn without_card_numbers(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|character: char| !character.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        clean.push_str(before);
        if has_card_number(digits) {
            clean.extend(digits.chars().map(|_| '1'))
        } else {
            clean.push_str(digits)
        }
        rest = after;
    }
    clean + rest
}

/// The whole row, however it is grouped: a longer one is something else.
fn is_card_number(row: &[u8]) -> bool {
    DIGITS.contains(&row.len()) && matches!(row.first(), Some(2..=6)) && fits(row)
}

/// Luhn: every second digit from the right is doubled, and the sum of all digits ends in 0.
fn fits(row: &[u8]) -> bool {
    let sum: u32 = row
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(*digit);
            if at % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_is_found_however_it_is_written_and_wherever_it_stands() {
        for text in [
            "4111111111111111",
            "paid with 4111 1111 1111 1111, thanks",
            "4111-1111-1111-1111",
            "card:5555555555554444.",
            "378282246310005",
            "tok_4242424242424242",
        ] {
            assert!(has_card_number(text), "{text}");
        }
    }

    #[test]
    fn what_a_machine_wrote_is_kept_but_for_card_numbers() {
        let body = r#"{"card":4111111111111111,"note":"4111111111111111","amount":100,"at":1700000000000}"#;
        let clean = r#"{"card":1111111111111111,"note":"1111111111111111","amount":100,"at":1700000000000}"#;
        assert_eq!(without_card_numbers(body), clean);
        assert_eq!(without_card_numbers(""), "");
    }

    #[test]
    fn other_numbers_are_not_taken_for_one() {
        for text in [
            "",
            "4111111111111112",
            "411111111111",
            "1700000000000000",
            "018f3c5a-1111-7111-8111-411111111111",
            "41111111111111110000",
            "order 4111 of 1111, 1111 units",
            "a4111111b1111111",
        ] {
            assert!(!has_card_number(text), "{text}");
        }
    }
}
