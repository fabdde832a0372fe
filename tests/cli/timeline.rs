//! The records of DOPPLER's operator diagnostics: eight values of the first row, statistics and a SHA-256 of each tensor.

use loupe_spec::{Dtype, HostTensor};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Sandbox;

const PROMPT: &str = "The color of the sky is";

/// Its operators, and what Loupe calls what they compute.
const OPERATORS: [(&str, &str); 19] = [
    ("embed.out", "embed.scaled"),
    ("attn.post_input_norm", "input_layernorm"),
    ("attn.q_proj", "self_attn.q_proj"),
    ("attn.k_proj", "self_attn.k_proj"),
    ("attn.v_proj", "self_attn.v_proj"),
    ("attn.q_rope", "self_attn.q_rope"),
    ("attn.k_rope", "self_attn.k_rope"),
    ("attn.core_out", "self_attn.context"),
    ("attn.o_proj", "self_attn.o_proj"),
    ("attn.post_attn", "residual_attn"),
    ("ffn.normed", "pre_feedforward_layernorm"),
    ("ffn.gate", "mlp.gate_proj"),
    ("ffn.up", "mlp.up_proj"),
    ("ffn.act", "mlp.gated"),
    ("ffn.out", "mlp.down_proj"),
    ("layer.out", "output"),
    ("final_norm.out", "norm"),
    ("logits.out", "logits.raw"),
    ("logits.final", "logits"),
];

/// A record as DOPPLER writes one, of a tensor with a row for each token.
fn record(operator: &str, layer: Option<usize>, tensor: &HostTensor) -> Value {
    let (rows, width) = (tensor.shape[0], tensor.shape[1..].iter().product::<usize>());
    let values = tensor.values.to_f64();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|x| x * x).sum::<f64>() / count;
    let (min, max) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
    let digest: Vec<String> = Sha256::digest(tensor.values.clone().to_dtype(Dtype::F32).to_le_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "opId": layer.map_or(operator.to_string(), |layer| format!("layer.{layer}.{operator}")),
        "stageName": operator, "layerIndex": layer, "phase": "prefill", "tokenIndex": null, "dtype": "f32",
        "capture": {
            "level": "slice", "shape": [rows, width], "dtype": "f32",
            "sample": &values[..8],
            "sampleCoordinates": (0..8).map(|at| [at / width, at % width]).collect::<Vec<_>>(),
            "fullTensorDigest": format!("sha256:{}", digest.concat()),
            "stats": {
                "min": min, "max": max, "maxAbs": max.abs().max(min.abs()), "mean": mean,
                "std": (squares - mean * mean).max(0.0).sqrt(),
            },
            "hasNaN": false, "hasInf": false,
        },
    })
}

/// A report of a run of the built-in model with `mistakes` planted, and its verdict; `edit` changes each capture.
fn judged(mistakes: &str, edit: impl Fn(&mut Value)) -> (i32, Value) {
    let sandbox = Sandbox::new();
    sandbox
        .config(&format!(
            r#"{{"check": "trace", "model": "builtin:tiny", "prompt": "{PROMPT}", "mistakes": {mistakes}, "output": "run"}}"#
        ))
        .ok();
    let (_, file) = loupe_report::read(&sandbox.path("run")).unwrap();
    let mut timeline = Vec::new();
    for (operator, ours) in OPERATORS {
        match file.get(ours) {
            Ok(tensor) => timeline.push(record(operator, None, &tensor)),
            Err(_) => timeline.extend(
                (0..4)
                    .map(|layer| record(operator, Some(layer), &file.get(&format!("layers.{layer}.{ours}")).unwrap())),
            ),
        }
    }
    // What is generated afterwards is no part of the prompt.
    let mut decoded = timeline[0].clone();
    (decoded["phase"], decoded["tokenIndex"]) = (json!("decode"), json!(7));
    timeline.iter_mut().for_each(|record| edit(&mut record["capture"]));
    timeline.push(decoded);
    let report = json!({"suite": "diagnose", "result": {"metrics": {"operatorDiagnostics": {"timeline": timeline}}}});
    std::fs::write(sandbox.path("report.json"), report.to_string()).unwrap();
    let run = sandbox.config(&format!(
        r#"{{"check": "compare", "model": "builtin:tiny", "prompt": "{PROMPT}", "candidate": "report.json", "format": "json"}}"#
    ));
    assert!(run.code != 2, "{}", run.stderr);
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    (run.code, verdict["verdicts"][0].clone())
}

fn names(verdict: &Value) -> Vec<&str> {
    verdict["mistakes"].as_array().unwrap().iter().map(|mistake| mistake["id"].as_str().unwrap()).collect()
}

#[test]
fn a_digest_eight_values_and_statistics_are_judged() {
    let (code, right) = judged("[]", |_| ());
    assert_eq!((code, right["verdict"].as_str()), (0, Some("numeric")), "{right:#}");
    let notes = right["notes"].to_string();
    assert!(notes.contains("names: DOPPLER operators") && notes.contains("SHA-256 says all of its values"), "{notes}");
    assert_eq!(right["stages"][0]["class"], "exact");
    assert_eq!(right["coverage"]["ignored"], json!(["decode 7: embed.out"]));
    assert_eq!(right["coverage"]["statistics"], 63 * 5);
    for mistake in ["rope_interleaved", "gelu_erf", "window_off_by_one", "gqa_tiled"] {
        let (code, wrong) = judged(&format!("[\"{mistake}\"]"), |_| ());
        assert_eq!((code, names(&wrong)), (1, vec![mistake]), "{wrong:#}");
    }
}

/// DOPPLER's statistics are of the values that are numbers, and say whether there are others.
#[test]
fn nan_behind_good_statistics_is_a_fault() {
    let (code, verdict) = judged("[]", |capture| {
        if capture["shape"] == json!([7, 412]) {
            capture["hasNaN"] = json!(true);
        }
    });
    assert_eq!((code, verdict["verdict"].as_str()), (3, Some("backend_fault")), "{verdict:#}");
}

/// The digest of embeddings that are scaled wrongly is known as well: it says all of their values, and those are wrong.
#[test]
fn the_digest_alone_settles_the_embedding() {
    let alone = |capture: &mut Value| {
        capture["stats"] = Value::Null;
        capture["sample"] = json!([]);
    };
    let (code, right) = judged("[]", alone);
    assert_eq!((code, right["verdict"].as_str(), right["coverage"]["probes"].as_u64()), (0, Some("exact"), Some(1)));
    for mistake in ["embed_scale_missing", "embed_scale_twice"] {
        let (code, wrong) = judged(&format!("[\"{mistake}\"]"), alone);
        // Unscaled values under a name that another program also gives to the rows themselves are those.
        let read = wrong["notes"].to_string().contains("before the scale");
        assert!(names(&wrong) == [mistake] && code == 1 || read, "{mistake}: {wrong:#}");
    }
}

/// Without a value or a digest: what a tensor's mean, spread and extremes tell.
#[test]
fn statistics_alone_are_judged() {
    let alone = |capture: &mut Value| {
        capture["fullTensorDigest"] = Value::Null;
        capture["sample"] = Value::Null;
    };
    let (code, right) = judged("[]", alone);
    assert_eq!((code, right["verdict"].as_str()), (0, Some("numeric")), "{right:#}");
    assert_eq!(right["coverage"]["values"], 0);
    for mistake in ["rope_interleaved", "gelu_erf", "attn_softcap_missing", "embed_scale_twice", "norm_without_one"] {
        let (code, wrong) = judged(&format!("[\"{mistake}\"]"), alone);
        assert_eq!((code, names(&wrong)), (1, vec![mistake]), "{wrong:#}");
        let first = &wrong["first_divergence"];
        assert!(first["statistic"].is_string() && first["token"].is_null(), "{first:#}");
    }
}

#[test]
fn all_values_of_a_full_capture_are_a_tensor() {
    let sandbox = Sandbox::new();
    let file =
        loupe_report::read_safetensors(&crate::repository().join("tests/fixtures/builtin/golden-f32.safetensors"));
    let logits = file.unwrap().get("logits").unwrap();
    let mut full = record("logits.final", None, &logits);
    full["capture"]["level"] = json!("full");
    full["capture"]["data"] = json!(logits.values.to_f64());
    std::fs::write(sandbox.path("report.json"), json!({"timeline": [full]}).to_string()).unwrap();
    let run = sandbox.config(&format!(
        r#"{{"check": "compare", "model": "builtin:tiny", "prompt": "{PROMPT}", "candidate": "report.json", "format": "json"}}"#
    ));
    let verdict: Value = serde_json::from_str(&run.stdout).unwrap();
    let coverage = &verdict["verdicts"][0]["coverage"];
    assert_eq!((run.code, coverage["values"].as_u64()), (0, Some(7 * 412)), "{verdict:#}");
}

/// Places that no tensor has, and records of another kind: one sentence, and no panic.
#[test]
fn records_that_lie_are_refused_in_a_sentence() {
    let most = u64::MAX;
    for capture in [
        json!({"shape": [most, most], "sample": [1.0], "sampleCoordinates": [[0, most]], "stats": {"min": 1.0}}),
        json!({"shape": [7, 60], "sample": [1.0, 2.0], "sampleCoordinates": [[6, 60], [7, 0]]}),
        json!({"shape": [0, 0], "stats": {"mean": 1.0}, "fullTensorDigest": "sha256:"}),
        json!({"shape": [], "data": [1.0]}),
        json!({"shape": [7, 60], "data": [1.0]}),
        json!({"shape": [7, 60], "sample": "eight"}),
        json!({"stats": {"min": null, "max": "much"}}),
    ] {
        let sandbox = Sandbox::new();
        let timeline = json!([{"opId": "embed.out", "capture": capture}]);
        std::fs::write(sandbox.path("report.json"), json!({"timeline": timeline}).to_string()).unwrap();
        let statistics = json!({"task": "statistics", "data": {"Module.model.norm.N.forward.0": {"output": [
            {"shape": capture["shape"], "Max": 1.0, "Norm": "NaN"}, [], null, 3,
        ]}}});
        std::fs::write(sandbox.path("dump.json"), statistics.to_string()).unwrap();
        for candidate in ["report.json", "dump.json"] {
            let run = sandbox.config(&format!(
                r#"{{"check": "compare", "model": "builtin:tiny", "prompt": "{PROMPT}", "candidate": "{candidate}"}}"#
            ));
            assert!(matches!(run.code, 1 | 2), "{candidate} {capture}: {} {}", run.code, run.stdout);
            assert!(run.code == 1 || run.stderr.trim_start().starts_with('×'), "{candidate} {capture}: {}", run.stderr);
        }
    }
}
