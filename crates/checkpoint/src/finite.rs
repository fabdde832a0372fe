//! Naming the element that is not a number, once one has been seen.

use loupe_spec::Values;

use crate::{CheckpointError, Entry, RowSelection};

/// The error for the first NaN or infinity of `values`, which are `rows` of `entry`.
pub(crate) fn complain(entry: &Entry<'_>, rows: &RowSelection<'_>, values: &Values) -> CheckpointError {
    let at = (0..values.len()).find(|at| !values.get(*at).is_finite()).unwrap_or_default();
    let width = entry.width().max(1);
    let row = match rows {
        RowSelection::All => at / width,
        RowSelection::Range(range) => range.start + at / width,
        RowSelection::List(list) => list.get(at / width).copied().unwrap_or_default(),
    };
    let element = row * width + at % width;
    let size = entry.dtype.size();
    let bytes = entry.bytes.get(element * size..(element + 1) * size).unwrap_or_default();
    let stored = Values::from_le_bytes(entry.dtype, bytes);
    let stored = if stored.is_empty() { f64::NAN } else { stored.get(0) };
    let reason = if stored.is_finite() {
        format!("holds {stored:e}, which is beyond {} (run in bf16, f32 or f64)", values.dtype())
    } else if stored.is_nan() {
        "holds NaN".into()
    } else {
        format!("holds {stored}")
    };
    let index = if entry.shape.len() == 1 { vec![element] } else { vec![row, at % width] };
    CheckpointError::NotFinite { name: entry.name.into(), file: entry.file.into(), index, reason }
}
