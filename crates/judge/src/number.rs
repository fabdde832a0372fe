//! Numbers in JSON.

use serde::{Deserialize, Deserializer};

/// For serde: JSON has neither NaN nor infinity, and null stands for both.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::deserialize(deserializer).map(|number| number.unwrap_or(f64::NAN))
}

/// For serde, of a pair of such.
pub(crate) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
    <[Option<f64>; 2]>::deserialize(deserializer).map(|pair| pair.map(|number| number.unwrap_or(f64::NAN)))
}

/// For serde, of any number of such pairs.
pub(crate) fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[f64; 2]>, D::Error> {
    let pairs = Vec::<[Option<f64>; 2]>::deserialize(deserializer)?;
    Ok(pairs.into_iter().map(|pair| pair.map(|number| number.unwrap_or(f64::NAN))).collect())
}

/// For serde, of one that may be left out: null is a number.
pub(crate) fn some_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    number(deserializer).map(Some)
}
