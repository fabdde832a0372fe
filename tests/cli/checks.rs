//! What each check prints, whole, and what it writes.

use std::path::Path;

use crate::{Sandbox, snapshot};

#[test]
fn text_of_the_shipped_configs() {
    for check in ["embed", "attn", "weights", "rope", "layer-out", "export"] {
        snapshot::assert(check, &Sandbox::new().shipped(&format!("tiny/{check}.json")).ok());
    }
}

#[test]
fn text_of_a_trace() {
    let config = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is",
        "probes": ["embed.scaled", "layers.*.output", "*.mask", "norm", "logits"], "layers": [0, 3], "output": "out/few"}"#;
    snapshot::assert("trace", &Sandbox::new().config(config).ok());
}

#[test]
fn the_first_command_of_the_readme_records_every_probe() {
    let sandbox = Sandbox::new();
    sandbox.shipped("trace-tiny.json").ok();
    let (report, tensors) = loupe_report::read(&sandbox.path("out/trace-tiny")).unwrap();
    let names: Vec<&str> = report.tensors.iter().map(|(name, _)| name.as_str()).collect();
    // 3 before, 23 in each of 4 layers, 3 after.
    assert_eq!((names.len(), names[0], names[97]), (98, "token_ids", "logits"));
    assert_eq!(report.token_ids, [2, 356, 366, 361, 359, 369, 371]);
    assert_eq!((report.model.id.as_str(), report.backend.name.as_str()), ("builtin:tiny", "flex"));
    assert_eq!(tensors.get("layers.3.self_attn.probs").unwrap().shape, [4, 7, 7]);
    // Nothing of its own making is left beside the two files.
    let names: Vec<_> = sandbox.files().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["out", "trace-tiny.json", "trace-tiny.safetensors"]);
}

#[test]
fn every_check_writes_a_report_that_reads_back() {
    for (check, keys, holds) in [
        ("embed", r#""token_ids": [2, 5, 7]"#, "embed.scaled"),
        ("attn", r#""token_ids": [2, 5, 7], "layer": 2"#, "layers.2.self_attn.scores_capped"),
        ("weights", r#""layer": 1, "proj": "all""#, "weights.model.layers.1.mlp.down_proj.weight"),
        ("weights", r#""tensor": "model.norm.weight""#, "weights.model.norm.weight"),
        ("rope", r#""pos": 3, "dim": 16, "theta": 10000.0"#, "rope.rotated_interleaved"),
        ("layer-out", r#""token_ids": [2, 5, 7], "layers": [3], "token": 0"#, "norm"),
        ("trace", r#""token_ids": [2, 5, 7], "probes": ["*rope"]"#, "layers.3.self_attn.k_rope"),
    ] {
        for (backend, dtype) in [("ndarray", "f64"), ("flex", "bf16")] {
            let sandbox = Sandbox::new();
            let config = format!(
                r#"{{"check": "{check}", "model": "builtin:tiny", {keys}, "backend": "{backend}", "dtype": "{dtype}", "output": "a/b/run.1"}}"#
            );
            let text = sandbox.config(&config).ok();
            assert!(text.contains("a/b/run.1.json") && text.contains("a/b/run.1.safetensors"), "{text}");
            let (report, tensors) = loupe_report::read(&sandbox.path("a/b/run.1")).unwrap();
            assert_eq!(report.config, serde_json::from_str::<serde_json::Value>(&config).unwrap());
            assert_eq!((report.backend.name.as_str(), report.dtype.name()), (backend, dtype));
            assert!(report.tensor(holds).is_some(), "{check}: no {holds} in {:?}", tensors.names());
            for (name, summary) in &report.tensors {
                let tensor = tensors.get(name).unwrap();
                assert_eq!(&loupe_report::TensorSummary::of(&tensor), summary, "{check}: {name}");
                assert_eq!((summary.nan, summary.inf), (0, 0), "{check}: {name}");
            }
        }
    }
}

#[test]
fn an_exported_folder_runs_as_the_model_inside_does() {
    let sandbox = Sandbox::new();
    sandbox.shipped("tiny/export.json").ok();
    let run = |model: &str, output: &str| {
        let keys = r#""check": "trace", "prompt": "The color of the sky is""#;
        sandbox.config(&format!(r#"{{{keys}, "model": "{model}", "output": "{output}"}}"#)).ok();
        std::fs::read(sandbox.path(&format!("{output}.safetensors"))).unwrap()
    };
    assert!(run("builtin:tiny", "inside") == run("out/tiny", "outside"), "the traces differ");
}

#[test]
fn a_planted_mistake_changes_the_numbers_and_stands_in_the_report() {
    let sandbox = Sandbox::new();
    let run = |mistakes: &str, output: &str| {
        let keys = r#""check": "trace", "model": "builtin:tiny", "token_ids": [2, 5, 7, 11]"#;
        sandbox.config(&format!(r#"{{{keys}, "output": "{output}" {mistakes}}}"#)).ok();
        loupe_report::read(Path::new(&sandbox.path(output))).unwrap()
    };
    let (_, right) = run("", "right");
    let (report, wrong) = run(r#", "mistakes": ["rope_interleaved@1"]"#, "wrong");
    assert_eq!(report.config["mistakes"][0], "rope_interleaved@1");
    for (name, changes) in
        [("layers.0.output", false), ("layers.1.self_attn.q_proj", false), ("layers.1.self_attn.q_rope", true)]
    {
        assert_eq!(right.get(name).unwrap() != wrong.get(name).unwrap(), changes, "{name}");
    }
}
