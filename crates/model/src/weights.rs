//! Where the model gets its tensors from.

use std::ops::Range;

use burn::tensor::backend::Backend;
use loupe_spec::Weight;
use loupe_tensor::Tensor;

/// Whatever the source of the weights says went wrong (a file, a NaN in it, an upload).
pub type WeightError = Box<dyn std::error::Error + Send + Sync>;

/// A tensor, or some rows of one, that will be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The tensor.
    pub weight: Weight,
    /// Which rows of it; `None` for a tensor of one axis.
    pub rows: Option<Range<usize>>,
}

/// Some consecutive rows of a matrix, as they are multiplied by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which rows.
    pub rows: Range<usize>,
    /// The shape of the matrix, [out, in].
    pub of: [usize; 2],
}

/// A source of tensors on the model's device in the model's dtype. The model asks for one at a time, uses it
/// and drops it: a layer's weights live no longer than the layer's computation. Runs that go side by side ask from
/// several threads, each for its own norms' vectors; matrices are asked for once for all of them.
pub trait Weights<B: Backend>: Sync {
    /// What [`Weights::vector`] and [`Weights::rows`] will be asked for, in that order, so that a source may read
    /// ahead. A run says it once, before it asks for anything.
    fn announce(&self, upcoming: Vec<Read>) {
        let _ = upcoming;
    }

    /// A norm's weight [D].
    ///
    /// # Errors
    /// What the source says.
    fn vector(&self, weight: Weight) -> Result<Tensor<B, 1>, WeightError>;

    /// Some consecutive rows of a [rows, columns] tensor.
    ///
    /// # Errors
    /// What the source says.
    fn rows(&self, weight: Weight, rows: Range<usize>) -> Result<Tensor<B, 2>, WeightError>;

    /// Rows `indices` of a [rows, columns] tensor, in that order: the embedding's lookup. On the host, since
    /// the whole table (2.4 GB in f32 for 2B) is larger than a tensor may be on many adapters.
    ///
    /// # Errors
    /// What the source says.
    fn gather(&self, weight: Weight, indices: &[usize]) -> Result<Tensor<B, 2>, WeightError>;
}
