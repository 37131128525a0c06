//! How many units somebody asks for.

/// 1 to 1,000 units: the most one line may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(u32);

/// Not 1 to 1,000 units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a quantity of 1 to {max}", max = Quantity::MAX)]
pub struct InvalidQuantity(pub i64);

impl Quantity {
    /// Most units of one line.
    pub const MAX: u32 = 1_000;
    pub const ONE: Self = Self(1);

    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(units: u32) -> Result<Self, InvalidQuantity> {
        if (1..=Self::MAX).contains(&units) { Ok(Self(units)) } else { Err(InvalidQuantity(units.into())) }
    }
}

impl TryFrom<i32> for Quantity {
    type Error = InvalidQuantity;

    /// From a store's column.
    fn try_from(units: i32) -> Result<Self, InvalidQuantity> {
        u32::try_from(units).map_err(|_| InvalidQuantity(units.into())).and_then(Self::try_from)
    }
}

impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        quantity.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_one_to_a_thousand() {
        assert_eq!(Quantity::try_from(1_000_u32).map(Quantity::get), Ok(1_000));
        assert_eq!(Quantity::try_from(0_u32), Err(InvalidQuantity(0)));
        assert_eq!(Quantity::try_from(1_001_u32), Err(InvalidQuantity(1_001)));
        assert_eq!(Quantity::try_from(-1_i32), Err(InvalidQuantity(-1)));
    }
}
