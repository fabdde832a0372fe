//! The reference's side of a comparison that Doppler makes, an inference engine on WebGPU: what its `doppler boundary source-pack`
//! reads. Source: clocksmith/doppler, its boundary evidence tooling; its reference script for Qwen 3.5 with transformers writes the
//! same of another model, but for the name of f32: there it is torch's, here that of Doppler's own captures, with which it is compared.

use std::collections::BTreeSet;
use std::io;

use loupe_checkpoint::sha256_hex;
use loupe_config::{Common, Emit, Input};
use loupe_runtime::Recorded;
use loupe_spec::{Dtype, Graph, HostTensor, Probe};
use serde_json::{Value, json};

use crate::session::Session;
use crate::{BURN, CheckError};

/// How many values of a boundary stand in it by themselves.
const SAMPLES: usize = 8;

/// Doppler's name of a boundary, and the stage that it is of Gemma 2, in computing order.
const IN_A_LAYER: [(&str, &str); 6] = [
    ("attention.q.pre_rope", "self_attn.q_proj"),
    ("attention.k.pre_rope", "self_attn.k_proj"),
    ("attention.q.post_rope", "self_attn.q_rope"),
    ("attention.k.post_rope", "self_attn.k_rope"),
    ("attention.output", "self_attn.o_proj"),
    ("ffn.output", "mlp.down_proj"),
];

/// The embedding, the boundaries of each of `layers` (of all layers where none are named) and the logits, with the stages that they are.
fn boundaries(graph: &Graph, layers: Option<&[usize]>) -> Vec<(String, Probe)> {
    let all = || (0..graph.config().num_hidden_layers).collect();
    let layers: BTreeSet<usize> = layers.map_or_else(all, |layers| layers.iter().copied().collect());
    let mut names = vec![("model.embedding.output".to_string(), None, "embed.scaled")];
    for layer in layers {
        names.extend(IN_A_LAYER.map(|(name, path)| (format!("layer.{layer}.{name}"), Some(layer), path)));
    }
    names.push(("model.logits".to_string(), None, "logits"));
    names.into_iter().filter_map(|(name, layer, path)| Some((name, Probe::of(layer, path)?))).collect()
}

/// The stages that a capture of `layers` is made of.
pub(crate) fn wanted(graph: &Graph, layers: Option<&[usize]>) -> BTreeSet<Probe> {
    boundaries(graph, layers).into_iter().map(|(_, probe)| probe).collect()
}

/// The capture of a run.
///
/// # Errors
/// The program's own file, whose digest stands for that of a script, cannot be read.
pub(crate) fn capture(
    session: &Session<'_>,
    input: &Input,
    layers: Option<&[usize]>,
    Recorded { values, info, .. }: &Recorded,
    common: &Common,
) -> Result<Value, CheckError> {
    let checkpoint = &session.checkpoint;
    let program = own_digest().map_err(|error| CheckError::OwnProgram { reason: error.to_string() })?;
    let dtype = torch_name(common.dtype);
    let ids = &session.token_ids;
    let prompt = match input {
        Input::Prompt(prompt) => sha256_hex(prompt.as_bytes()),
        Input::TokenIds(ids) => sha256_hex(format!("{ids:?}").as_bytes()),
    };
    let config = sha256_hex(checkpoint.config_json().as_bytes());
    let revision = checkpoint.revision().unwrap_or(session.tensors.id());
    let each: Vec<Value> = boundaries(session.graph(), layers)
        .iter()
        .filter_map(|(name, probe)| Some(boundary(name, *probe, values.get(probe)?, common.dtype)))
        .collect();
    Ok(json!({
        "schema": Emit::DopplerBoundaries.name(),
        "provider": "loupe",
        "identity": {
            "sourceRevision": revision,
            "dtype": dtype,
            "promptDigest": format!("sha256:{prompt}"),
            "modelConfigDigest": format!("sha256:{config}"),
            "referenceScriptDigest": format!("sha256:{program}"),
        },
        "runtime": {
            "loupe": env!("CARGO_PKG_VERSION"),
            "burn": BURN,
            "backend": info.name,
            "device": info.device,
            "dtype": dtype,
            "precision": common.precision.name(),
            "mistakes": common.mistakes,
        },
        "model": {
            "path": checkpoint.model(),
            "revision": revision,
            "configSha256": config,
            "tokenizerSha256": checkpoint.tokenizer_sha256(),
        },
        "probe": {
            "promptSha256": prompt,
            "promptTokenIds": ids,
            "useChatTemplate": false,
        },
        "selectedTokenId": Probe::of(None, "logits").and_then(|logits| largest(values.get(&logits)?)),
        "boundaries": each,
    }))
}

/// A boundary: [T, all other axes in one], as Doppler's buffers are; of logits the last token's, which are all that it computes.
fn boundary(name: &str, probe: Probe, tensor: &HostTensor, dtype: Dtype) -> Value {
    let tokens = tensor.shape.first().copied().unwrap_or(1).max(1);
    // Whatever it was computed in, Doppler compares f32.
    let all: Vec<f32> = tensor.values.to_f64().into_iter().map(|value| value as f32).collect();
    let width = all.len() / tokens;
    let (rows, all) = if probe.is_logits() { (1, &all[(tokens - 1) * width..]) } else { (tokens, &all[..]) };
    let sample =
        |(at, value): (usize, &f32)| json!({"coordinate": [at / width, at % width], "flatIndex": at, "value": value});
    let bytes: Vec<u8> = all.iter().flat_map(|value| value.to_le_bytes()).collect();
    let policy = if matches!(dtype, Dtype::F32 | Dtype::F64) { "source-f32-v1" } else { "source-f16-v1" };
    json!({
        "boundaryId": name,
        "phase": "prefill",
        "tokenIndex": null,
        "layerIndex": probe.layer(),
        "occurrence": 0,
        "shape": [rows, width],
        "dtype": "f32",
        "samples": all.iter().enumerate().take(SAMPLES).map(sample).collect::<Vec<_>>(),
        "fullTensorDigest": format!("sha256:{}", sha256_hex(&bytes)),
        "statistics": statistics(all),
        "tolerancePolicyId": format!("doppler.boundary-tolerance/{policy}"),
    })
}

/// Of all values; the standard deviation is that of the population: over n and not n - 1.
fn statistics(values: &[f32]) -> Value {
    let values = || values.iter().map(|value| f64::from(*value));
    let count = values().count().max(1) as f64;
    let mean = values().sum::<f64>() / count;
    json!({
        "min": values().fold(f64::INFINITY, f64::min),
        "max": values().fold(f64::NEG_INFINITY, f64::max),
        "maxAbs": values().map(f64::abs).fold(0.0, f64::max),
        "mean": mean,
        "std": (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt(),
    })
}

/// The id with the largest logit of the last token.
fn largest(logits: &HostTensor) -> Option<usize> {
    let all = logits.values.to_f64();
    let last = &all[all.len().checked_sub(*logits.shape.last()?)?..];
    (0..last.len()).rev().max_by(|a, b| last[*a].total_cmp(&last[*b]))
}

/// SHA-256 of the program that runs.
fn own_digest() -> io::Result<String> {
    Ok(sha256_hex(&std::fs::read(std::env::current_exe()?)?))
}

/// As torch names it, which the schema goes by.
fn torch_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "float64",
        Dtype::F16 => "float16",
        Dtype::Bf16 => "bfloat16",
        _ => "float32",
    }
}
