//! Before a backend's numbers reach anyone: a few operations against f64.
//!
//! Each backend, dtype and precision is tested once on an adapter, driver and program version; the pass is cached,
//! since the first kernels of a GPU cost seconds of compilation. A failure is never cached.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::{DType, TensorData};
use loupe_config::MatmulPrecision;
use loupe_spec::{Dtype, guarded};
use loupe_tensor::Tensor;
use serde_json::{Map, Value};

use crate::{BackendError, Info, MatMul, Opened, Spec, Task};

/// Tests the engine where it was not tested before, then runs the task on it.
pub(crate) fn then_run<B: Backend, T: Task>(
    spec: &Spec,
    backend: Opened<B>,
    task: T,
) -> Result<T::Output, BackendError> {
    // A replay comes through here hundreds of times.
    static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let key = cache_key(spec, &backend.info);
    let known = PASSED.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
    if !known {
        if !passed_before(&key) {
            test(spec, &backend)?;
            // A cache that cannot be written costs time, not correctness.
            let _ = remember(&key);
        }
        PASSED.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    }
    let device = backend.info.device.clone();
    guarded(|| task.run(backend)).map_err(|reason| BackendError::Broken {
        backend: spec.backend.clone(),
        device,
        dtype: spec.dtype,
        reason,
    })
}

const ROWS: usize = 7;
const INNER: usize = 50;

fn test<B: Backend>(spec: &Spec, backend: &Opened<B>) -> Result<(), BackendError> {
    let broken = |reason: String| BackendError::Broken {
        backend: spec.backend.clone(),
        device: backend.info.device.clone(),
        dtype: spec.dtype,
        reason,
    };
    let results = guarded(|| results(spec, backend)).map_err(&broken)?;
    guarded(|| B::sync(&backend.device)).map_err(&broken)?.map_err(|error| broken(error.to_string()))?;
    for Outcome { op, got, expected, allowed } in results {
        let error = relative_l2(&got, &expected);
        if error > allowed || error.is_nan() {
            return Err(BackendError::SelfTest {
                backend: spec.backend.clone(),
                device: backend.info.device.clone(),
                dtype: spec.dtype,
                op: op.to_string(),
                error,
                allowed,
            });
        }
    }
    Ok(())
}

struct Outcome {
    op: &'static str,
    got: Vec<f64>,
    expected: Vec<f64>,
    allowed: f64,
}

/// Unit roundoff: half the distance from 1 to the next number.
fn roundoff(dtype: Dtype, precision: MatmulPrecision) -> f64 {
    match (dtype, precision) {
        (_, MatmulPrecision::Tf32) => 2f64.powi(-11),
        (Dtype::F64, _) => 2f64.powi(-53),
        (Dtype::F16, _) => 2f64.powi(-11),
        (Dtype::Bf16, _) => 2f64.powi(-8),
        _ => 2f64.powi(-24),
    }
}

/// The operations the model is made of, on inputs whose exact results are known. Transcendentals run in the compute dtype, as in
/// the model (f32 for all but f64 runs).
fn results<B: Backend>(spec: &Spec, backend: &Opened<B>) -> Vec<Outcome> {
    let device = &backend.device;
    let computing = spec.dtype.compute_dtype();
    let u_computing = roundoff(computing, MatmulPrecision::Strict);
    let x: Vec<f64> = (0..ROWS * INNER).map(|i| computing.round((0.37 * i as f64).sin() * 3.0)).collect();
    let tensor = || upload::<B>(&x, [ROWS, INNER], computing, device);
    let map = |f: fn(f64) -> f64| x.iter().map(|v| f(*v)).collect::<Vec<f64>>();
    let rows = |f: fn(&[f64]) -> f64| x.chunks(INNER).map(f).collect::<Vec<f64>>();
    // 256 units: lavapipe's tanh, the worst library function measured that the model can use, is off by 8e-6 = 134.
    let library = 256.0 * u_computing;
    let exact = 4.0 * u_computing;
    let mut all = vec![
        Outcome { op: "exp", got: download(tensor().exp()), expected: map(f64::exp), allowed: library },
        Outcome { op: "tanh", got: download(tensor().tanh()), expected: map(f64::tanh), allowed: library },
        Outcome {
            op: "sqrt",
            got: download((tensor() * tensor()).add_scalar(1.0).sqrt()),
            expected: map(|v| (v * v + 1.0).sqrt()),
            allowed: exact,
        },
        Outcome {
            op: "sum_dim",
            got: download(tensor().sum_dim(1)),
            expected: rows(|row| row.iter().sum()),
            allowed: INNER as f64 * u_computing,
        },
        Outcome {
            op: "max_dim",
            got: download(tensor().max_dim(1)),
            expected: rows(|row| row.iter().copied().fold(f64::MIN, f64::max)),
            allowed: 0.0,
        },
    ];
    all.push(matmul(spec, backend));
    all
}

/// [7, 50] @ [50, 7] in the dtype of the run. Operands are exact in it, so only the sums are rounded.
fn matmul<B: Backend>(spec: &Spec, backend: &Opened<B>) -> Outcome {
    let value = |i: usize| spec.dtype.round((0.61 * i as f64).cos());
    let lhs: Vec<f64> = (0..ROWS * INNER).map(value).collect();
    let rhs: Vec<f64> = (0..INNER * ROWS).map(|i| value(i + 1000)).collect();
    let expected: Vec<f64> = (0..ROWS * ROWS)
        .map(|at| (0..INNER).map(|k| lhs[at / ROWS * INNER + k] * rhs[k * ROWS + at % ROWS]).sum())
        .collect();
    let product = apply(
        backend.matmul,
        upload::<B>(&lhs, [ROWS, INNER], spec.dtype, &backend.device),
        upload::<B>(&rhs, [INNER, ROWS], spec.dtype, &backend.device),
    );
    // Of each product both operands may be rounded (TF32), of each sum every step, and the result once. Where
    // products cancel, that is large next to the result, so it is measured against the products' own sizes.
    let sizes: Vec<f64> = (0..ROWS * ROWS)
        .map(|at| (0..INNER).map(|k| (lhs[at / ROWS * INNER + k] * rhs[k * ROWS + at % ROWS]).abs()).sum())
        .collect();
    let cancelled = norm(&sizes) / norm(&expected);
    let operands =
        if spec.precision == MatmulPrecision::Tf32 { 2.0 * roundoff(spec.dtype, spec.precision) } else { 0.0 };
    let sums = INNER as f64 * spec.dtype.compute_dtype().half_unit();
    let allowed = (operands + sums) * cancelled + 4.0 * roundoff(spec.dtype, MatmulPrecision::Strict);
    Outcome { op: "matmul", got: download(product), expected, allowed }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn apply<B: Backend>(matmul: MatMul<B>, lhs: Tensor<B, 2>, rhs: Tensor<B, 2>) -> Tensor<B, 2> {
    Tensor::from_primitive(matmul(lhs.into_primitive(), rhs.into_primitive()))
}

fn upload<B: Backend>(values: &[f64], shape: [usize; 2], dtype: Dtype, device: &B::Device) -> Tensor<B, 2> {
    let dtype = match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
        _ => DType::F32,
    };
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device, dtype)
}

fn download<B: Backend>(x: Tensor<B, 2>) -> Vec<f64> {
    x.into_data().iter::<f64>().collect()
}

/// ‖got - expected‖ / ‖expected‖; infinite where lengths differ.
fn relative_l2(got: &[f64], expected: &[f64]) -> f64 {
    if got.len() != expected.len() {
        return f64::INFINITY;
    }
    norm(&got.iter().zip(expected).map(|(g, e)| g - e).collect::<Vec<f64>>()) / norm(expected)
}

/// Everything that could change the answer.
fn cache_key(spec: &Spec, info: &Info) -> String {
    let driver = info.driver.as_deref().unwrap_or("-");
    let version = env!("CARGO_PKG_VERSION");
    format!("{version} | {} | {} | {driver} | {} | {:?}", info.name, info.device, spec.dtype, spec.precision)
}

fn cache_file() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("loupe").join("selftest.json"))
}

fn cached() -> Option<Map<String, Value>> {
    let text = std::fs::read_to_string(cache_file()?).ok()?;
    serde_json::from_str::<Value>(&text).ok()?.as_object().cloned()
}

fn passed_before(key: &str) -> bool {
    cached().is_some_and(|passes| passes.contains_key(key))
}

fn remember(key: &str) -> std::io::Result<()> {
    let Some(file) = cache_file() else { return Ok(()) };
    let mut passes = cached().unwrap_or_default();
    passes.insert(key.to_string(), Value::Bool(true));
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, Value::Object(passes).to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_error_is_measured_and_nan_is_no_pass() {
        assert_eq!(relative_l2(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert!((relative_l2(&[3.0, 4.5], &[3.0, 4.0]) - 0.1).abs() < 1e-12);
        assert!(relative_l2(&[f64::NAN], &[1.0]).is_nan());
        assert_eq!(relative_l2(&[1.0], &[1.0, 2.0]), f64::INFINITY);
    }

    /// A backend whose matmul returns zeros must not pass.
    #[cfg(feature = "flex")]
    #[test]
    fn a_backend_that_computes_wrong_is_refused_with_the_operation() {
        let spec = Spec { backend: "flex".into(), device: None, dtype: Dtype::F32, precision: MatmulPrecision::Strict };
        let mut backend = crate::flex::open(&spec).unwrap();
        assert!(test(&spec, &backend).is_ok());
        backend.matmul = |lhs, _rhs| {
            drop(lhs);
            upload::<burn_flex::Flex>(&[0.0; ROWS * ROWS], [ROWS, ROWS], Dtype::F32, &Default::default())
                .into_primitive()
        };
        let text = test(&spec, &backend).unwrap_err().to_string();
        assert!(text.contains("matmul") && text.contains("1.0e0"), "{text}");
    }
}
