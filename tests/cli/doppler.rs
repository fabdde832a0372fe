//! What `emit` writes for Doppler: the boundaries of its schema, held against transformers' run of the same model.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Sandbox, repository};

const EMIT: &str = r#""emit": "doppler.boundary-provider-capture/v1", "output": "out/t""#;

fn captured(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&std::fs::read_to_string(sandbox.path("out/t.doppler.json")).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of mini's boundaries of both layers, beside those that the golden has.
fn expected() -> Vec<(String, String)> {
    let mut all = vec![("model.embedding.output".to_string(), "embed.scaled".to_string())];
    for layer in 0..2 {
        all.extend(
            [
                ("attention.q.pre_rope", "self_attn.q_proj"),
                ("attention.k.pre_rope", "self_attn.k_proj"),
                ("attention.q.post_rope", "self_attn.q_rope"),
                ("attention.k.post_rope", "self_attn.k_rope"),
                ("attention.output", "self_attn.o_proj"),
                ("ffn.output", "mlp.down_proj"),
            ]
            .map(|(name, stage)| (format!("layer.{layer}.{name}"), format!("layers.{layer}.{stage}"))),
        );
    }
    all.push(("model.logits".to_string(), "logits".to_string()));
    all
}

#[test]
fn the_boundaries_are_those_of_transformers() {
    let sandbox = Sandbox::new();
    let fixtures = repository().join("tests/fixtures/mini");
    let model = serde_json::to_string(&fixtures).unwrap();
    let run =
        sandbox.config(&format!(r#"{{"check": "trace", "model": {model}, "token_ids": [2, 13, 7, 11, 4], {EMIT}}}"#));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.ends_with("written: out/t.json, out/t.safetensors and out/t.doppler.json\n"), "{}", run.stdout);
    let capture = captured(&sandbox);
    let golden = loupe_report::read_safetensors(&fixtures.join("golden-f32.safetensors")).unwrap();
    let own = loupe_report::read_safetensors(&sandbox.path("out/t.safetensors")).unwrap();
    let boundaries = capture["boundaries"].as_array().unwrap();
    let names: Vec<&str> = boundaries.iter().map(|boundary| boundary["boundaryId"].as_str().unwrap()).collect();
    assert_eq!(names, expected().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), "in computing order");
    for (boundary, (name, stage)) in boundaries.iter().zip(expected()) {
        let tensor = golden.get(&stage).unwrap();
        let width: usize = tensor.shape[1..].iter().product();
        // Of logits the last token's alone.
        let from = if name == "model.logits" { 4 * width } else { 0 };
        let rows = if from > 0 { 1 } else { 5 };
        assert_eq!(boundary["shape"], json!([rows, width]), "{name}");
        let right = &tensor.values.to_f64()[from..];
        let size = right.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        // A few roundings of f32, one for each of 36 stages, each seldom more than ten units in the last place.
        let near = |value: &Value, right: f64| {
            let off = (value.as_f64().unwrap() - right).abs();
            assert!(off <= size * 36.0 * 10.0 * 2f64.powi(-24), "{name}: {value} {right}");
        };
        let samples = boundary["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 8.min(right.len()));
        for (at, sample) in samples.iter().enumerate() {
            assert_eq!(sample["flatIndex"], at);
            assert_eq!(sample["coordinate"], json!([at / width, at % width]), "{name}");
            near(&sample["value"], right[at]);
        }
        let count = right.len() as f64;
        let mean = right.iter().sum::<f64>() / count;
        let variance = right.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        let statistics = &boundary["statistics"];
        near(&statistics["min"], right.iter().copied().fold(f64::INFINITY, f64::min));
        near(&statistics["max"], right.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        near(&statistics["maxAbs"], size);
        near(&statistics["mean"], mean);
        near(&statistics["std"], variance.sqrt());
        // The digest is of the very values that the report has.
        let bytes = own.get(&stage).unwrap().values.to_le_bytes();
        assert_eq!(boundary["fullTensorDigest"], format!("sha256:{}", sha256(&bytes[4 * from..])), "{name}");
        let layer = name.strip_prefix("layer.").map(|rest| rest.split_once('.').unwrap().0.parse::<usize>().unwrap());
        assert_eq!(boundary["layerIndex"], json!(layer));
        assert_eq!(boundary["tolerancePolicyId"], "doppler.boundary-tolerance/source-f32-v1");
    }
    let config = std::fs::read(fixtures.join("config.json")).unwrap();
    assert_eq!(capture["identity"]["modelConfigDigest"], format!("sha256:{}", sha256(&config)));
    assert_eq!(capture["model"]["configSha256"], sha256(&config));
    assert_eq!(capture["model"]["tokenizerSha256"], Value::Null, "mini has none");
    assert_eq!(capture["probe"]["promptTokenIds"], json!([2, 13, 7, 11, 4]));
    assert_eq!(capture["identity"]["promptDigest"], format!("sha256:{}", sha256(b"[2, 13, 7, 11, 4]")));
}

#[test]
fn a_prompt_a_tokenizer_layers_and_a_narrow_dtype() {
    let sandbox = Sandbox::new();
    sandbox.config(r#"{"check": "export", "model": "builtin:tiny", "output": "tiny"}"#).ok();
    let config = format!(
        r#"{{"check": "trace", "model": "tiny", "prompt": "The color of the sky is", "dtype": "bf16", "layers": [3, 1], {EMIT}}}"#
    );
    sandbox.config(&config).ok();
    let capture = captured(&sandbox);
    let tokenizer = std::fs::read(sandbox.path("tiny/tokenizer.json")).unwrap();
    assert_eq!(capture["model"]["tokenizerSha256"], sha256(&tokenizer));
    assert_eq!(capture["probe"]["promptSha256"], sha256(b"The color of the sky is"));
    assert_eq!(capture["identity"]["dtype"], "bfloat16");
    let boundaries = capture["boundaries"].as_array().unwrap();
    let layers: Vec<&Value> = boundaries.iter().map(|boundary| &boundary["layerIndex"]).collect();
    assert_eq!(
        layers,
        [&[json!(null)][..], &vec![json!(1); 6], &vec![json!(3); 6], &[json!(null)]]
            .concat()
            .iter()
            .collect::<Vec<_>>()
    );
    for boundary in boundaries {
        assert_eq!(boundary["dtype"], "f32", "bf16's values as Doppler compares them");
        assert_eq!(boundary["tolerancePolicyId"], "doppler.boundary-tolerance/source-f16-v1");
    }
}

#[cfg(unix)]
#[test]
fn what_is_read_is_not_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.config(r#"{"check": "export", "model": "builtin:tiny", "output": "tiny"}"#).ok();
    std::fs::rename(sandbox.path("tiny/config.json"), sandbox.path("tiny/t.doppler.json")).unwrap();
    std::os::unix::fs::symlink("t.doppler.json", sandbox.path("tiny/config.json")).unwrap();
    let emit = EMIT.replace("out/t", "tiny/t");
    let run = sandbox.config(&format!(r#"{{"check": "trace", "model": "tiny", "token_ids": [2], {emit}}}"#));
    assert!(run.code == 2 && run.stderr.contains("would overwrite"), "{}", run.stderr);
}
