//! What a probe holds while the model runs.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use loupe_spec::Probe;

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
pub type Values<B> = BTreeMap<Probe, Value<B>>;

impl<B: Backend> Value<B> {
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

/// What a stage comes to: its value, or what its matrix is still to be multiplied by. Matrices are read in row chunks,
/// each once for all runs, so that products are made for all runs at a time.
pub enum Due<B: Backend> {
    /// Done.
    Value(Value<B>),
    /// A projection, `x @ weight^T`.
    Product {
        /// [T, in]
        x: Tensor<B, 2>,
        /// N of a result [T, N, H]; `None`: [T, out].
        heads: Option<usize>,
    },
}

impl<B: Backend, T: Into<Value<B>>> From<T> for Due<B> {
    fn from(value: T) -> Due<B> {
        Due::Value(value.into())
    }
}

/// The inputs of one stage, in the order its wiring names them.
pub struct Inputs<'a, B: Backend> {
    /// The stage being computed.
    pub probe: Probe,
    /// One value for each of the stage's inputs.
    pub values: Vec<&'a Value<B>>,
}

impl<B: Backend> Inputs<'_, B> {
    fn wrong(&self, index: usize, expected: &'static str) -> ModelError {
        ModelError::Input { probe: self.probe, index, expected }
    }

    /// Input `index` as [T, width].
    ///
    /// # Errors
    /// It is not there, or is no matrix.
    pub fn two(&self, index: usize) -> Result<Tensor<B, 2>, ModelError> {
        match self.values.get(index) {
            Some(Value::Rank2(x)) => Ok(x.clone()),
            _ => Err(self.wrong(index, "a [T, width] tensor")),
        }
    }

    /// Input `index` as a tensor of three axes.
    ///
    /// # Errors
    /// It is not there, or has not three axes.
    pub fn three(&self, index: usize) -> Result<Tensor<B, 3>, ModelError> {
        match self.values.get(index) {
            Some(Value::Rank3(x)) => Ok(x.clone()),
            _ => Err(self.wrong(index, "a tensor of three axes")),
        }
    }

    /// Every input as [T, width].
    ///
    /// # Errors
    /// One of them is no matrix.
    pub fn all_two(&self) -> Result<Vec<Tensor<B, 2>>, ModelError> {
        (0..self.values.len()).map(|index| self.two(index)).collect()
    }

    /// Input `index` as a mask.
    ///
    /// # Errors
    /// It is not there, or is no mask.
    pub fn mask(&self, index: usize) -> Result<&Mask, ModelError> {
        match self.values.get(index) {
            Some(Value::Mask(mask)) => Ok(mask),
            _ => Err(self.wrong(index, "a mask")),
        }
    }

    /// Input `index` as token ids.
    ///
    /// # Errors
    /// It is not there, or holds no ids.
    pub fn ids(&self, index: usize) -> Result<&[usize], ModelError> {
        match self.values.get(index) {
            Some(Value::Ids(ids)) => Ok(ids),
            _ => Err(self.wrong(index, "token ids")),
        }
    }
}
