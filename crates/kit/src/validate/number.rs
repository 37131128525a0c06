//! Rules of numbers. Every integer of protobuf fits an i128, so one set of rules serves all of them.

use std::fmt::{Debug, Display};

/// Bounds and lists of a number.
#[derive(Debug, Clone)]
pub(crate) struct NumberRules<T> {
    pub gt: Option<T>,
    pub gte: Option<T>,
    pub lt: Option<T>,
    pub lte: Option<T>,
    pub equal: Option<T>,
    pub within: Vec<T>,
    pub not_in: Vec<T>,
}

pub(crate) type IntRules = NumberRules<i128>;

#[derive(Debug, Clone, Default)]
pub(crate) struct FloatRules {
    pub bounds: NumberRules<f64>,
    pub finite: bool,
}

/// A bound, what keeps it, and its words.
type Bound<T> = (Option<T>, fn(&T, &T) -> bool, &'static str);

impl<T> Default for NumberRules<T> {
    fn default() -> Self {
        NumberRules {
            gt: None,
            gte: None,
            lt: None,
            lte: None,
            equal: None,
            within: Vec::new(),
            not_in: Vec::new(),
        }
    }
}

impl<T: PartialOrd + Copy + Display + Debug> NumberRules<T> {
    /// What is wrong with `value`; a NaN is outside every bound.
    pub(super) fn check(&self, value: T) -> Result<(), String> {
        let bounds: [Bound<T>; 5] = [
            (self.gt, T::gt, "greater than"),
            (self.gte, T::ge, "at least"),
            (self.lt, T::lt, "less than"),
            (self.lte, T::le, "at most"),
            (self.equal, T::eq, "equal to"),
        ];
        for (bound, keeps, words) in bounds {
            if let Some(bound) = bound.filter(|bound| !keeps(&value, bound)) {
                return Err(format!("must be {words} {bound}"));
            }
        }
        if !self.within.is_empty() && !self.within.contains(&value) {
            return Err(format!("must be one of {:?}", self.within));
        }
        if self.not_in.contains(&value) {
            return Err(format!("must not be {value}"));
        }
        Ok(())
    }
}

impl FloatRules {
    pub(super) fn check(&self, value: f64) -> Result<(), String> {
        if self.finite && !value.is_finite() {
            return Err("must be a finite number".to_owned());
        }
        self.bounds.check(value)
    }
}
