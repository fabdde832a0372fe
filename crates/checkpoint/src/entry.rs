//! A tensor of a checkpoint, and which of its rows.

use std::ops::Range;
use std::path::Path;

use loupe_spec::Dtype;

use crate::CheckpointError;

/// A tensor as it is stored.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its state-dict name.
    pub name: &'a str,
    /// Axis lengths, outermost first.
    pub shape: &'a [usize],
    /// The type it is stored in.
    pub dtype: Dtype,
    /// The file that holds it.
    pub file: &'a Path,
    /// Its elements, row-major, little-endian: a view of the file.
    pub bytes: &'a [u8],
}

/// Which indices of a tensor's first axis to read. A tensor of one axis has no rows: only `All` suits it.
#[derive(Clone, Debug)]
pub enum RowSelection<'a> {
    /// Every row.
    All,
    /// A run of rows.
    Range(Range<usize>),
    /// These rows, in this order, repeats allowed.
    List(&'a [usize]),
}

impl<'a> Entry<'a> {
    /// Elements of one index of the first axis.
    pub(crate) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The bytes of a run of rows; `None` where there are no such rows.
    pub(crate) fn rows(&self, range: &Range<usize>) -> Option<&'a [u8]> {
        let [count, _, ..] = self.shape else { return None };
        let bytes_per_row = self.width() * self.dtype.size();
        let inside = range.start <= range.end && range.end <= *count;
        inside.then(|| self.bytes.get(range.start * bytes_per_row..range.end * bytes_per_row)).flatten()
    }

    pub(crate) fn wrong_rows(&self, reason: String) -> CheckpointError {
        CheckpointError::RowSelection { name: self.name.into(), shape: self.shape.into(), reason }
    }
}
