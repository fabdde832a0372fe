//! What the values of `rope` and `weights` reports should be.

use loupe_checkpoint::{RowSelection, Tensors};
use loupe_judge::Expected;
use loupe_report::Report;
use loupe_runtime::{Rotated, referee, rotate, rotations};
use loupe_spec::{HostTensor, Weight};

use crate::CheckError;
use crate::rope::test_vector;

/// For each of `recorded`, the right values and how far right code may be off them.
pub(crate) fn expected(
    report: &Report,
    recorded: &[(String, HostTensor)],
    tensors: &Tensors,
) -> Result<Vec<Expected>, CheckError> {
    let mut all = Vec::new();
    for (name, tensor) in recorded {
        if let Some(weight) = name.strip_prefix("weights.").and_then(|name| name.parse::<Weight>().ok()) {
            // The file's values, rounded once to the dtype of the run: nothing is computed, so nothing may differ.
            let values = tensors.read(weight, RowSelection::All, report.dtype)?.values.to_f64();
            all.push(Expected { name: name.clone(), sigma: vec![0.0; values.len()], values });
            debug_assert_eq!(tensor.values.dtype(), report.dtype);
        }
    }
    all.extend(rope(report)?);
    Ok(all)
}

/// The tables and the rotation of a `rope` report's own position, dim and theta.
fn rope(report: &Report) -> Result<Vec<Expected>, CheckError> {
    let number = |key: &str| report.config.get(key).and_then(serde_json::Value::as_f64);
    let (Some(pos), Some(dim), Some(theta)) = (number("pos"), number("dim"), number("theta")) else {
        return Ok(Vec::new());
    };
    let (pos, dim) = (pos as usize, dim as usize);
    let computing = report.dtype.compute_dtype();
    let tables = rotations(&[pos], dim, theta, computing);
    let vector = test_vector(dim);
    let Rotated { halves, neighbours, .. } = rotate(&referee(), &vector, &tables)?;
    // Four units: a power, a division, a product, and the library's own last bit.
    let unit = computing.half_unit();
    let stored = 2f64.powi(-report.dtype.significand_bits());
    let relative = |values: &[f64]| values.iter().map(|v| 4.0 * unit * v.abs()).collect::<Vec<f64>>();
    // An angle off by `relative` moves its cosine by as much; eight units are the library's.
    let around: Vec<f64> = tables.angles.iter().map(|a| unit * (4.0 * a.abs() + 8.0)).collect();
    // Two products and a sum of numbers no larger than the vector's largest, each stored.
    let largest = vector.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    let rotated = vec![2.0 * stored * largest; dim];
    let of = |name: &str, values: Vec<f64>, sigma: Vec<f64>| Expected { name: format!("rope.{name}"), values, sigma };
    Ok(vec![
        of("inv_freq", tables.inv_freq.clone(), relative(&tables.inv_freq)),
        of("angles", tables.angles.clone(), relative(&tables.angles)),
        of("cos", tables.cos.clone(), around.clone()),
        of("sin", tables.sin.clone(), around),
        of("vector", vector.clone(), vec![0.0; dim]),
        of("rotated", halves.values.to_f64(), rotated.clone()),
        of("rotated_interleaved", neighbours.values.to_f64(), rotated),
    ])
}
