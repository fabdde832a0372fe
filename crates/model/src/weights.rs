//! Where the model gets its tensors from.

use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use loupe_spec::Weight;
use loupe_tensor::Tensor;

use crate::{ModelError, WeightError};

/// A tensor, or some consecutive rows of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The tensor.
    pub weight: Weight,
    /// Which places of its first axis: of a norm's weight all.
    pub rows: Range<usize>,
    /// The tensor's shape: [out, in], or [D] of a norm.
    pub of: Vec<usize>,
}

impl Read {
    /// How many numbers that is.
    pub fn elements(&self) -> usize {
        self.of.iter().skip(1).product::<usize>() * self.rows.len()
    }
}

/// What a list of reads comes to, in its order.
pub type Reads<'r, B> = Box<dyn Iterator<Item = Result<FloatTensor<B>, WeightError>> + 'r>;

/// A source of tensors on the model's device in the model's dtype. The model takes one at a time, uses it and drops it: a
/// layer's weights live no longer than the layer's computation.
pub trait Weights<B: Backend>: Sync {
    /// Each of `reads`, in their order, when it is asked for. A run says all of them once, before it takes the first, so
    /// that a source may read ahead.
    fn read(&self, reads: Vec<Read>) -> Reads<'_, B>;

    /// Rows `indices` of a [rows, columns] tensor, in that order: the embedding's lookup. On the host, since
    /// the whole table (2.4 GB in f32 for 2B) is larger than a tensor may be on many adapters.
    ///
    /// # Errors
    /// What the source says.
    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError>;
}

/// The next of `reads`: every step takes those that it carries.
pub(crate) fn next<B: Backend>(reads: &mut Reads<'_, B>) -> Result<FloatTensor<B>, ModelError> {
    let ended = || ModelError::Weight("the thread that reads the weights has ended before the run".into());
    reads.next().ok_or_else(ended)?.map_err(ModelError::Weight)
}
