//! One operation in one run: what it is computed from, and a wrong formula in its place.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use loupe_spec::{Graph, Node, Probe};
use loupe_tensor::Tensor;

use crate::ops::mask::Mask;
use crate::ops::rope::Rotations;
use crate::{ModelError, Numerics, Read, Value, burn_dtype};

/// An operation and everything that it is computed from.
#[derive(Clone)]
pub struct Call<'a, B: Backend> {
    /// What is computed: the operation with its number, and the name.
    pub node: &'a Node,
    /// The inputs, in the order in which the node names them.
    pub x: Vec<Value<B>>,
    /// The tensor: of a norm all of it, of a projection some rows or all. A lookup reads its own.
    pub weight: Option<FloatTensor<B>>,
    /// Which rows, of which matrix.
    pub read: Option<&'a Read>,
    /// Positions of the tokens.
    pub positions: &'a [usize],
    /// Where the run rounds.
    pub p: &'a Numerics<B>,
    /// The model.
    pub graph: &'a Graph,
    /// Where its tensors are.
    pub device: &'a B::Device,
}

/// What a call comes to.
pub type Computed<B> = Result<Value<B>, ModelError>;

/// The right formula.
pub type Right<'r, B> = dyn Fn(&Call<'_, B>) -> Computed<B> + 'r;

/// A wrong formula, for a mistake to put at a value.
pub enum Wrong<B: Backend> {
    /// It stands in the place of the right one.
    Instead(fn(&Call<'_, B>) -> Computed<B>),
    /// It calls the right one with something else, or changes what that gives.
    Around(fn(&Call<'_, B>, &Right<'_, B>) -> Computed<B>),
    /// The same, of a projection: of a square matrix it needs all rows at once.
    Whole(fn(&Call<'_, B>, &Right<'_, B>) -> Computed<B>),
}

// Not derived: that would ask for a `B` that is `Copy`.
impl<B: Backend> Clone for Wrong<B> {
    fn clone(&self) -> Wrong<B> {
        *self
    }
}

impl<B: Backend> Copy for Wrong<B> {}

/// The wrong formulas at each value, those around others first.
pub type Formulas<B> = BTreeMap<Probe, Vec<Wrong<B>>>;

impl<B: Backend> Call<'_, B> {
    fn unusable<T>(&self, index: usize, expected: &'static str) -> Result<T, ModelError> {
        Err(ModelError::Input { probe: self.node.probe, index, expected })
    }

    /// The same call with other inputs.
    pub fn with_inputs(&self, x: Vec<Value<B>>) -> Self {
        Call { x, ..self.clone() }
    }

    /// The same call with another tensor.
    pub fn with_weight<const D: usize>(&self, weight: Tensor<B, D>) -> Self {
        Call { weight: Some(weight.into_primitive()), ..self.clone() }
    }

    /// Input `index`, whatever it is.
    ///
    /// # Errors
    /// It is not there.
    pub fn any(&self, index: usize) -> Computed<B> {
        self.x.get(index).cloned().map_or_else(|| self.unusable(index, "given"), Ok)
    }

    /// Input `index` as [T, width].
    ///
    /// # Errors
    /// It is not there, or is no matrix.
    pub fn two(&self, index: usize) -> Result<Tensor<B, 2>, ModelError> {
        match self.x.get(index) {
            Some(Value::Rank2(x)) => Ok(x.clone()),
            _ => self.unusable(index, "a [T, width] tensor"),
        }
    }

    /// Input `index` as a tensor of three axes.
    ///
    /// # Errors
    /// It is not there, or has not three axes.
    pub fn three(&self, index: usize) -> Result<Tensor<B, 3>, ModelError> {
        match self.x.get(index) {
            Some(Value::Rank3(x)) => Ok(x.clone()),
            _ => self.unusable(index, "a tensor of three axes"),
        }
    }

    /// Input `index` as [T, width], heads side by side.
    ///
    /// # Errors
    /// It is not there, or has no rows of numbers.
    pub fn flat(&self, index: usize) -> Result<Tensor<B, 2>, ModelError> {
        match self.x.get(index) {
            Some(Value::Rank3(x)) => {
                let [t, n, h] = x.dims();
                Ok(x.clone().reshape([t, n * h]))
            }
            _ => self.two(index),
        }
    }

    /// Input `index` as a mask.
    ///
    /// # Errors
    /// It is not there, or is no mask.
    pub fn mask(&self, index: usize) -> Result<&Mask, ModelError> {
        match self.x.get(index) {
            Some(Value::Mask(mask)) => Ok(mask),
            _ => self.unusable(index, "a mask"),
        }
    }

    /// Input `index` as token ids.
    ///
    /// # Errors
    /// It is not there, or holds no ids.
    pub fn ids(&self, index: usize) -> Result<&[usize], ModelError> {
        match self.x.get(index) {
            Some(Value::Ids(ids)) => Ok(ids),
            _ => self.unusable(index, "token ids"),
        }
    }

    /// The tensor, which the caller knows to have `D` axes: [out, in] of a projection, [D] of a norm.
    ///
    /// # Errors
    /// The operation has none.
    pub fn weight<const D: usize>(&self) -> Result<Tensor<B, D>, ModelError> {
        let weight = self.weight.clone().map(Tensor::from_primitive);
        weight.ok_or(ModelError::NoTensor(self.node.probe))
    }

    /// The cosines and sines of `tables` [T, 1, H/2], stored.
    pub fn rotations(&self, tables: Rotations) -> [Tensor<B, 3>; 2] {
        let half = tables.inv_freq.len();
        [tables.cos, tables.sin].map(|values| {
            // Rounded on the host: no f64 reaches a device that cannot hold it.
            let values = values.into_iter().map(|v| self.p.round(v)).collect();
            let data = TensorData::new::<f64, _>(values, [self.positions.len(), 1, half]);
            Tensor::from_data(data, self.device, burn_dtype(self.p.device))
        })
    }
}
