//! Spreads an amount over lines in proportion to what they cost, by largest remainder: the parts always sum to the amount.

/// Parts of `amount` in proportion to `weights`. What is left after rounding down goes, one unit each, to the largest
/// remainders; equal ones by place. No part is above its weight as long as `amount` is not above their sum, which it is cut to.
pub(super) fn spread(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if sum <= 0 || amount <= 0 {
        return vec![0; weights.len()];
    }
    let amount = i128::from(amount).min(sum);
    let mut parts: Vec<i64> = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(i128, usize)> = Vec::with_capacity(weights.len());
    let mut given = 0_i128;
    for (at, weight) in weights.iter().enumerate() {
        // Two 64-bit numbers: the product fits 128 bits.
        let product = amount * i128::from(*weight);
        let part = product / sum;
        given += part;
        remainders.push((product % sum, at));
        parts.push(i64::try_from(part).expect("a part is not above its weight"));
    }
    remainders.sort_by_key(|(remainder, at)| (std::cmp::Reverse(*remainder), *at));
    let left = usize::try_from(amount - given).expect("fewer units are left than there are parts");
    for (_, at) in remainders.into_iter().take(left) {
        parts[at] += 1;
    }
    parts
}
