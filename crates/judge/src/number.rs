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
