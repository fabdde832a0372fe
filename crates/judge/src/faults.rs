//! What no arithmetic explains: values that are not numbers, and blocks that were never written.

use loupe_spec::{Dtype, Kind};

use crate::limits::{SMALLEST_BLOCK, TENSOR_LIMIT, UNWRITTEN};
use crate::stage::Stage;

/// The largest number that f16 holds.
const F16_MAX: f64 = 65504.0;

/// A stage whose f16 values are infinite because what they should be is beyond f16: the arithmetic is right, the dtype
/// is too small for this model (transformers 39972, onnxruntime 26732).
pub fn f16_overflow(stage: &Stage, storage: Dtype) -> Option<String> {
    let bad = |at: &usize| !stage.recorded[*at].is_finite() && stage.exact[*at].is_finite();
    let first = stage.indices().find(bad)?;
    let beyond = storage == Dtype::F16 && stage.indices().filter(bad).all(|at| stage.exact[at].abs() > F16_MAX);
    beyond.then(|| {
        format!(
            "f16_overflow: {} would be {:.0} at {:?}, and f16 ends at {F16_MAX}; run this model in bf16 or f32",
            stage.probe,
            stage.exact[first],
            stage.coordinate(first)
        )
    })
}

/// What is broken about a stage's values, if something is.
pub fn fault(stage: &Stage) -> Option<String> {
    let bad = |at: &usize| !stage.recorded[*at].is_finite() && stage.exact[*at].is_finite();
    if let Some(first) = stage.indices().find(bad) {
        if stage.statistic(first).is_some() {
            return Some(format!(
                "{}: there are NaN or infinities among its values, where its inputs are finite",
                stage.probe
            ));
        }
        let count = stage.indices().filter(bad).count();
        return Some(format!(
            "{}: {count} values are {} or the like, the first at {:?}, where its inputs are finite",
            stage.probe,
            stage.recorded[first],
            stage.coordinate(first)
        ));
    }
    // A mask and what it hides are zeros by right: a wrong one is a mistake, not a fault.
    if matches!(stage.kind, Kind::Mask | Kind::Softmax) {
        return None;
    }
    // Exact zeros where the stage is far from zero, everything else being right.
    let unwritten =
        |at: usize| stage.recorded[at] == 0.0 && stage.exact[at].abs() > UNWRITTEN * stage.variance[at].sqrt();
    let count = stage.indices().filter(|at| unwritten(*at)).count();
    let rest = stage.fit_where(&stage.exact, |at| !unwritten(at));
    if count >= SMALLEST_BLOCK && rest.tensor <= TENSOR_LIMIT {
        let all = stage.indices().count();
        let first = stage.indices().find(|at| unwritten(*at)).unwrap_or(0);
        return Some(format!(
            "{}: {count} of {all} values are exactly 0 from {:?} on, where the stage computes others, and the rest is right",
            stage.probe,
            stage.coordinate(first)
        ));
    }
    None
}
