//! What cannot be left out: the weights that a question needs are converted once and multiplied once. Measured here and
//! now, on all cores, so that a check can be held against it.

use loupe_checkpoint::{Rows, Tensors};
use loupe_spec::{Dtype, Graph};
use miette::{Result, miette};

use super::cases::Case;
use super::seconds;

/// As large as the chunks that the model asks for.
const CHUNK_BYTES: usize = 14 << 20;
/// Times each part is measured; the fastest counts.
const TIMES: usize = 3;

/// Rates of this machine, weights a second.
pub struct Floor {
    /// Reading stored weights from the warm page cache as f32, with all cores.
    pub converted: f64,
    /// Multiplying f32 weights by 7 tokens with the kernel that flex uses (crate gemm), with all cores.
    pub multiplied: f64,
}

impl Floor {
    pub fn measure(graph: &Graph, tensors: &Tensors) -> Result<Floor> {
        let mut converted = 0.0_f64;
        for _ in 0..TIMES {
            let (time, count) = seconds(|| convert_all(graph, tensors));
            converted = converted.max(count? as f64 / time);
        }
        let mut multiplied = 0.0_f64;
        let hidden_size = graph.config().hidden_size;
        let (rows, columns, tokens) = (CHUNK_BYTES / 4 / hidden_size, hidden_size, 7);
        let weights = vec![0.5_f32; rows * columns];
        let x = vec![0.5_f32; columns * tokens];
        let mut out = vec![0.0_f32; rows * tokens];
        for _ in 0..10 * TIMES {
            let (time, ()) = seconds(|| multiply(&weights, &x, &mut out, [rows, columns, tokens]));
            multiplied = multiplied.max(weights.len() as f64 / time);
        }
        Ok(Floor { converted, multiplied })
    }

    /// The least that `case` can take.
    pub fn seconds(&self, case: &Case) -> f64 {
        let weights = case.elements as f64;
        weights / self.converted + if case.multiplies { weights / self.multiplied } else { 0.0 }
    }
}

/// Every matrix of every layer, in chunks; how many numbers that were.
fn convert_all(graph: &Graph, tensors: &Tensors) -> Result<usize> {
    let mut count = 0;
    for weight in graph.weights().filter(|weight| weight.layer().is_some()) {
        let shape = graph.weight_shape(weight);
        let [rows, columns] = shape.as_slice() else { continue };
        let chunk = (CHUNK_BYTES / 4 / columns).clamp(1, *rows);
        for start in (0..*rows).step_by(chunk) {
            let part = Rows::Range(start..(start + chunk).min(*rows));
            let values = tensors.read(weight, part, Dtype::F32).map_err(|error| miette!("{error}"))?.values;
            count += values.len();
        }
    }
    Ok(count)
}

/// `weights` [rows, columns] by `x` [columns, tokens].
#[allow(unsafe_code)]
fn multiply(weights: &[f32], x: &[f32], out: &mut [f32], [rows, columns, tokens]: [usize; 3]) {
    let (row, token) = (columns as isize, tokens as isize);
    // SAFETY: the strides are those of row-major matrices of exactly these sizes.
    unsafe {
        gemm::gemm(
            rows,
            tokens,
            columns,
            out.as_mut_ptr(),
            1,
            token,
            false,
            weights.as_ptr(),
            1,
            row,
            x.as_ptr(),
            1,
            token,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}
