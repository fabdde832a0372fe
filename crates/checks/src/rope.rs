//! `rope`: the rotation at one position. Reads no weights.

use loupe_checkpoint::Checkpoint;
use loupe_config::{Common, ModelRef};
use loupe_runtime::{Rotated, Spec, rotate, rotations};
use loupe_spec::{Config, HostTensor, Values};
use serde_json::json;
use std::time::Instant;

use crate::done::{Done, Kept, model_of};
use crate::next_config::next_config;
use crate::{CheckError, text};

pub(crate) fn run(model: &ModelRef, pos: usize, dim: usize, theta: f64, common: &Common) -> Result<Done, CheckError> {
    let started = Instant::now();
    let checkpoint = Checkpoint::open(&model.id, model.revision.as_deref())?;
    let opened = started.elapsed().as_secs_f64();
    let computing = common.dtype.compute_dtype();
    let tables = rotations(&[pos], dim, theta, computing);
    let vector = test_vector(dim);
    let Rotated { halves, neighbours, info } = rotate(&Spec::of(common), &vector, &tables)?;
    let rotated = started.elapsed().as_secs_f64() - opened;

    let mut out = text::header(&checkpoint, None, common, Some(&info));
    let findings = against_checkpoint(&mut out, checkpoint.config(), dim, theta);
    text::section(&mut out, &format!("position {pos}, first 8 of {} frequencies", dim / 2));
    for (label, values) in
        [("frequencies", &tables.inv_freq), ("angles", &tables.angles), ("cos", &tables.cos), ("sin", &tables.sin)]
    {
        text::row(&mut out, label, values, 8, 6);
    }
    text::section(&mut out, "test vector v[0] = 1, v[1] = 0, v[i] = sin(0.37 i) + 0.5 cos(0.11 i), first 8");
    text::row(&mut out, "vector", &vector, 8, 6);
    text::row(&mut out, "rotated (halves, Gemma's)", &halves.values.to_f64(), 8, 6);
    text::row(&mut out, "rotated (neighbours, NOT Gemma's)", &neighbours.values.to_f64(), 8, 6);
    let f64s = |values: &[f64]| HostTensor { shape: vec![values.len()], values: Values::F64(values.to_vec()) };
    let named = |name: &str, tensor| (format!("rope.{name}"), tensor);
    Ok(Done {
        text: out,
        findings,
        next: Some(next_config(
            "trace",
            model,
            None,
            common,
            json!({"prompt": "The color of the sky is", "probes": ["*rope", "*scores"]}),
        )),
        model: model_of(&checkpoint, None),
        token_ids: Vec::new(),
        info,
        kept: Kept::of(vec![
            named("inv_freq", f64s(&tables.inv_freq)),
            named("angles", f64s(&tables.angles)),
            named("cos", f64s(&tables.cos)),
            named("sin", f64s(&tables.sin)),
            named("vector", f64s(&vector)),
            named("rotated", halves),
            named("rotated_interleaved", neighbours),
        ]),
        timings: vec![("open".into(), opened), ("run".into(), rotated)],
    })
}

/// Says the checkpoint's own sizes; what the config asks for and the checkpoint does not have is a finding.
fn against_checkpoint(out: &mut String, config: &Config, dim: usize, theta: f64) -> Vec<String> {
    text::field(out, "head_dim", &format!("{dim} asked for, {} in the checkpoint", config.head_dim));
    text::field(out, "rope_theta", &format!("{theta} asked for, {} in the checkpoint", config.rope_theta));
    text::field(out, "rope scaling", "none: Gemma 2 has none");
    let mut findings = Vec::new();
    if dim != config.head_dim {
        findings.push(format!("dim is {dim}, but this checkpoint's head_dim is {}", config.head_dim));
    }
    if theta != config.rope_theta {
        findings.push(format!("theta is {theta}, but this checkpoint's rope_theta is {}", config.rope_theta));
    }
    findings
}

/// [H]: 1, 0, then a mix of two waves in which no lane repeats another.
pub(crate) fn test_vector(dim: usize) -> Vec<f64> {
    let wave = |i: usize| (0.37 * i as f64).sin() + 0.5 * (0.11 * i as f64).cos();
    (0..dim).map(|i| if i < 2 { 1.0 - i as f64 } else { wave(i) }).collect()
}
