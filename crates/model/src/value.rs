//! What a probe holds while the model runs.

use std::collections::BTreeMap;

use burn::tensor::backend::Backend;
use loupe_spec::Probe;
use loupe_tensor::Tensor;

use crate::ModelError;
use crate::ops::mask::Mask;

/// The value of one probe.
#[derive(Clone, Debug)]
pub enum Value<B: Backend> {
    /// Token ids, on the host.
    Ids(Vec<usize>),
    /// Who may attend to whom, on the host.
    Mask(Mask),
    /// [T, D], [T, F] or [T, V]
    Rank2(Tensor<B, 2>),
    /// [T, N, H], [T, K, H] or [N, T, S]
    Rank3(Tensor<B, 3>),
}

/// Values by probe: what a replay is given, and what a run holds.
pub type DeviceTrace<B> = BTreeMap<Probe, Value<B>>;

impl<B: Backend> Value<B> {
    /// Axis lengths.
    fn dims(&self) -> Vec<usize> {
        match self {
            Value::Ids(ids) => vec![ids.len()],
            Value::Mask(mask) => vec![mask.queries, mask.keys],
            Value::Rank2(x) => x.dims().to_vec(),
            Value::Rank3(x) => x.dims().to_vec(),
        }
    }

    /// The value with its tensor, if it holds one, passed through the function of its rank.
    pub fn map(
        self,
        two: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>,
        three: impl FnOnce(Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Value<B> {
        match self {
            Value::Rank2(x) => Value::Rank2(two(x)),
            Value::Rank3(x) => Value::Rank3(three(x)),
            other => other,
        }
    }
}

/// What was recorded of some tokens only, and which they are.
#[derive(Clone, Debug)]
pub struct SomeRows<B: Backend> {
    /// The tokens, in ascending order.
    pub tokens: Vec<usize>,
    /// Values with a row for each of them, and of scores and masks perhaps only the keys up to the last of them.
    pub values: DeviceTrace<B>,
}

impl<B: Backend> SomeRows<B> {
    /// Everything that was recorded has all rows.
    pub fn none() -> SomeRows<B> {
        SomeRows { tokens: Vec::new(), values: DeviceTrace::new() }
    }

    /// `value` of `probe` with what was recorded of it in its place.
    ///
    /// # Errors
    /// It was recorded in another shape.
    pub(crate) fn put_into(&self, probe: Probe, value: Value<B>) -> Result<Value<B>, ModelError> {
        let Some(own) = self.values.get(&probe) else { return Ok(value) };
        let wrong =
            ModelError::Input { probe, index: 0, expected: "of its own shape, with a row for each token recorded" };
        let rows = own.dims().get(probe.token_axis()).copied();
        let fits = own.dims().len() == value.dims().len() && rows == Some(self.tokens.len());
        if !fits || own.dims().iter().zip(value.dims()).any(|(own, whole)| *own > whole) {
            return Err(wrong);
        }
        let mut value = value;
        let mut at = 0;
        for run in self.tokens.chunk_by(|a, b| a + 1 == *b) {
            let (from, into) = (at..at + run.len(), run[0]..run[0] + run.len());
            value = match (value, own) {
                (Value::Rank2(x), Value::Rank2(own)) => {
                    let [_, width] = own.dims();
                    x.slice_assign([into, 0..width], own.clone().slice([from, 0..width])).into()
                }
                (Value::Rank3(x), Value::Rank3(own)) => {
                    let [a, b, c] = own.dims();
                    let [from, into] = match probe.token_axis() {
                        0 => [from, into].map(|rows| [rows, 0..b, 0..c]),
                        _ => [from, into].map(|rows| [0..a, rows, 0..c]),
                    };
                    x.slice_assign(into, own.clone().slice(from)).into()
                }
                (Value::Mask(mut mask), Value::Mask(own)) => {
                    for (row, query) in from.zip(into) {
                        let seen = &own.visible[row * own.keys..(row + 1) * own.keys];
                        mask.visible[query * mask.keys..][..own.keys].copy_from_slice(seen);
                    }
                    Value::Mask(mask)
                }
                _ => return Err(wrong),
            };
            at += run.len();
        }
        Ok(value)
    }
}

impl<B: Backend> From<Tensor<B, 2>> for Value<B> {
    fn from(x: Tensor<B, 2>) -> Value<B> {
        Value::Rank2(x)
    }
}

impl<B: Backend> From<Tensor<B, 3>> for Value<B> {
    fn from(x: Tensor<B, 3>) -> Value<B> {
        Value::Rank3(x)
    }
}
