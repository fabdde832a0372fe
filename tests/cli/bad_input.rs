//! Bad input: exit code 2, one error on stderr that says what is wrong, nothing on stdout, nothing written.

use std::fs;
use std::path::Path;

use crate::{Run, SMALL, Sandbox};

/// Runs, and holds what comes of it against all of the above.
#[track_caller]
fn refuses(sandbox: &Sandbox, run: impl FnOnce() -> Run, parts: &[&str]) {
    let before = sandbox.files();
    let Run { code, stdout, stderr } = run();
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    // miette begins an error with this cross.
    assert_eq!(stderr.matches('×').count(), 1, "{stderr}");
    // Long lines are wrapped; words are looked for, not breaks.
    let words = stderr.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "\"{part}\" is not in\n{stderr}");
    }
    assert_eq!(sandbox.files(), before, "something was written");
}

#[track_caller]
fn config(text: &str, parts: &[&str]) {
    let sandbox = Sandbox::new();
    refuses(&sandbox, || sandbox.config(text), parts);
}

/// A trace of `model`, wanting output.
#[track_caller]
fn trace(sandbox: &Sandbox, keys: &str, parts: &[&str]) {
    let text = format!(r#"{{"check": "trace", "output": "out/run", {keys}}}"#);
    refuses(sandbox, || sandbox.config(&text), parts);
}

#[track_caller]
fn tiny(keys: &str, parts: &[&str]) {
    trace(&Sandbox::new(), &format!(r#""model": "builtin:tiny", {keys}"#), parts);
}

#[test]
fn documents() {
    config("", &["nothing", "expected an object"]);
    config("{\"check\": \"trace\"", &["not JSON"]);
    config("model = 'x'", &["not JSON"]);
    config("{'check': 'trace'}", &["not JSON"]);
    config("[1, 2]", &["a list", "expected an object"]);
    config("\"trace\"", &["a string", "expected an object"]);
    config("null", &["null", "expected an object"]);
    config(r#"{"check": "trace", "check": "embed"}"#, &["\"check\" is written twice"]);
    config("{}", &["no \"check\""]);
    let sandbox = Sandbox::new();
    refuses(&sandbox, || sandbox.run(&["no.json"]), &["cannot read the config no.json"]);
    refuses(&sandbox, || sandbox.run(&["."]), &["is a folder"]);
    fs::write(sandbox.path("bytes.json"), b"{\"check\": \"\xff\"}").unwrap();
    refuses(&sandbox, || sandbox.run(&["bytes.json"]), &["not UTF-8"]);
}

#[test]
fn keys_and_values() {
    tiny(r#""prompt": "x", "lyers": [0]"#, &["\"lyers\"", "\"layers\""]);
    tiny(r#""prompt": "x", "layers": "0""#, &["\"layers\"", "expected a list"]);
    tiny(r#""prompt": 7"#, &["\"prompt\"", "expected a string"]);
    tiny(r#""prompt": """#, &["\"prompt\"", "not empty"]);
    tiny(r#""token_ids": []"#, &["\"token_ids\"", "at least one element"]);
    tiny(r#""token_ids": [2, -1]"#, &["\"token_ids\"", "an integer of 0 or more"]);
    tiny(r#""prompt": "x", "token_ids": [2]"#, &["\"prompt\"", "\"token_ids\""]);
    tiny(r#""layers": [0]"#, &["needs", "\"prompt\""]);
    tiny(r#""prompt": "x", "probes": ["layers.0.self_attn.q_porj"]"#, &["q_porj", "\"layers.0.self_attn.q_proj\""]);
    tiny(r#""prompt": "x", "probes": ["*.nothing"]"#, &["*.nothing", "matches no probe point"]);
    tiny(r#""prompt": "x", "mistakes": ["rope_interleavd"]"#, &["rope_interleavd", "nearest is \"rope_interleaved\""]);
    tiny(r#""prompt": "x", "mistakes": ["gelu_erf@9"]"#, &["gelu_erf", "\"9\"", "for example"]);
    for [one, other, what] in [
        ["embed_scale_missing", "embed_scale_twice", "embed_scale at embed.scaled"],
        ["norm_without_one", "norm_one_twice@2", "the formula at layers.2.input_layernorm"],
        ["silu", "gelu_erf@layers.1.mlp.act", "the formula at layers.1.mlp.act"],
        ["attn_scale=0.5", "scale_missing", "attn_scale at layers.0.self_attn.scores"],
        [
            "post_norm_missing",
            "norm_eps@layers.1.post_attention_layernorm",
            "rms_norm_eps at layers.1.post_attention_layernorm",
        ],
        [
            "pre_norm_missing@0",
            "norm_without_one@layers.0.input_layernorm",
            "the operation at layers.0.input_layernorm",
        ],
        ["attn_softcap=inf", "softcap_formula", "the operation at layers.0.self_attn.scores_capped"],
        ["window_off_by_one", "window_off_by_one--fewer", "the operation at layers.0.self_attn.mask"],
        [
            "weight_transposed@layers.1.self_attn.q_proj",
            "q4k_repeated_block",
            "the formula at layers.1.self_attn.q_proj",
        ],
        ["bos_missing", "bos_twice", "the token ids"],
    ] {
        let keys = format!(r#""prompt": "x", "mistakes": ["rope_interleaved", "{one}", "{other}"]"#);
        tiny(&keys, &[&format!("\"{one}\" and \"{other}\" contradict each other"), what]);
    }
    config(
        r#"{"check": "export", "model": "builtin:tiny", "output": "out/m", "mistakes": ["norm_eps", "norm_eps--none"]}"#,
        &["\"norm_eps\" and \"norm_eps--none\" contradict each other"],
    );
    tiny(r#""prompt": "x", "mistakes": ["attn_scale=nan"]"#, &["attn_scale=nan", "expected a number"]);
    for mistake in ["norm_eps@3", "attn_scale=0.25", "silu"] {
        config(
            &format!(r#"{{"check": "export", "model": "builtin:tiny", "output": "out/m", "mistakes": ["{mistake}"]}}"#),
            &[mistake.split('@').next().unwrap(), "cannot be exported"],
        );
    }
    config(
        r#"{"check": "compare", "candidate": "a", "model": "builtin:tiny", "format": "junit"}"#,
        &["expected \"text\", \"json\" or \"html\""],
    );
    config(r#"{"check": "trce", "model": "builtin:tiny", "prompt": "x"}"#, &["\"trce\"", "\"trace\""]);
    config(r#"{"check": "rope", "model": "builtin:tiny", "pos": 1, "dim": 7, "theta": 1e4}"#, &["\"dim\"", "even"]);
    config(r#"{"check": "weights", "model": "builtin:tiny", "layer": 0, "proj": "r"}"#, &["\"proj\"", "\"gate\""]);
    config(
        r#"{"check": "weights", "model": "builtin:tiny", "tensor": "model.layers.0.mlp.gate.weight"}"#,
        &["model.layers.0.mlp.gate.weight", "model.layers.0.mlp.gate_proj.weight"],
    );
    config(r#"{"check": "export", "model": "builtin:tiny"}"#, &["\"output\""]);
}

#[test]
fn out_of_range() {
    tiny(r#""token_ids": [2, 412]"#, &["token id 412 at position 1", "0 to 411"]);
    tiny(r#""prompt": "x", "layers": [4]"#, &["layer 4 is out of range", "0 to 3"]);
    let with = |check: &str, keys: &str| {
        format!(r#"{{"check": "{check}", "model": "builtin:tiny", "output": "out/run", {keys}}}"#)
    };
    config(&with("attn", r#""prompt": "x", "layer": 4"#), &["layer 4 is out of range", "0 to 3"]);
    config(&with("weights", r#""layer": 26, "proj": "q""#), &["layer 26 is out of range", "0 to 3"]);
    config(&with("weights", r#""tensor": "model.layers.4.mlp.up_proj.weight""#), &["model.layers.4", "4 layers"]);
    for token in ["7", "-8"] {
        let keys = format!(r#""prompt": "The color of the sky is", "layers": [0], "token": {token}"#);
        config(&with("layer-out", &keys), &[&format!("token {token} is out of range"), "0 to 6"]);
    }
}

#[test]
fn backends() {
    tiny(r#""prompt": "x", "backend": "flx""#, &["\"flx\"", "\"flex\"", "ndarray", "wgpu", "cuda"]);
    tiny(r#""prompt": "x", "backend": "ndarray", "dtype": "bf16""#, &["ndarray", "bf16", "f64, f32", "flex, cuda"]);
    tiny(r#""prompt": "x", "backend": "wgpu", "dtype": "f64""#, &["wgpu", "f64", "f32, f16", "flex, ndarray"]);
    tiny(r#""prompt": "x", "dtype": "int8""#, &["\"dtype\"", "\"bf16\""]);
    tiny(r#""prompt": "x", "precision": "tf32""#, &["tf32", "cuda"]);
    tiny(r#""prompt": "x", "device": "discrete:0""#, &["discrete:0", "cpu"]);
}

#[test]
fn models() {
    let sandbox = Sandbox::new();
    trace(&sandbox, r#""model": "./nowhere", "prompt": "x""#, &["./nowhere", "no such folder", "builtin:tiny"]);
    trace(&sandbox, r#""model": "builtin:huge", "prompt": "x""#, &["builtin:huge", "builtin:tiny"]);
    trace(&sandbox, r#""model": "builtin:tiny", "revision": "main", "prompt": "x""#, &["revision", "hub id"]);
    fs::create_dir(sandbox.path("empty")).unwrap();
    trace(&sandbox, r#""model": "empty", "prompt": "x""#, &["holds no config.json"]);

    let folder = sandbox.checkpoint(SMALL, 1);
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    trace(&sandbox, r#""model": "model", "prompt": "x""#, &["no tokenizer.json", "token_ids"]);
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    trace(&sandbox, r#""model": "model", "prompt": "x""#, &["tokenizer.json"]);
    let ids = r#""model": "model", "token_ids": [2]"#;
    fs::write(folder.join("config.json"), SMALL.replace("gemma2", "gemma3_text")).unwrap();
    trace(&sandbox, ids, &["config.json", "\"gemma3_text\"", "expected \"gemma2\""]);
    fs::write(folder.join("config.json"), SMALL.replace("\"hidden_size\":6", "\"hidden_size\":7")).unwrap();
    trace(&sandbox, ids, &["misshapen", "[412, 6]", "expected [412, 7]"]);
    fs::write(folder.join("config.json"), "{").unwrap();
    trace(&sandbox, ids, &["config.json"]);
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    fs::write(folder.join("config.json"), SMALL).unwrap();
    trace(&sandbox, ids, &["holds no model.safetensors"]);
}

/// Runs a checkpoint whose one file holds these bytes.
#[track_caller]
fn safetensors(bytes: &[u8], parts: &[&str]) {
    let sandbox = Sandbox::new();
    fs::write(sandbox.checkpoint(SMALL, 1).join("model.safetensors"), bytes).unwrap();
    trace(&sandbox, r#""model": "model", "token_ids": [2]"#, parts);
}

fn whole() -> Vec<u8> {
    fs::read(Sandbox::new().checkpoint(SMALL, 1).join("model.safetensors")).unwrap()
}

#[test]
fn broken_files() {
    let whole = whole();
    let length = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    safetensors(&[], &["model.safetensors", "0 bytes"]);
    safetensors(&whole[..whole.len() - 3], &["model.safetensors", "cut off"]);
    safetensors(&whole[..length / 2], &["model.safetensors", "claims a header of"]);
    safetensors(&[&u64::MAX.to_le_bytes(), &whole[8..]].concat(), &["claims a header of 18446744073709551615"]);
    // The second tensor starts where the first does.
    let header = String::from_utf8(whole[8..8 + length].to_vec()).unwrap();
    let mut entries: serde_json::Value = serde_json::from_str(&header).unwrap();
    let [end, norm] = ["model.embed_tokens.weight", "model.norm.weight"].map(|n| entries[n]["data_offsets"][1].clone());
    entries["model.norm.weight"]["data_offsets"] = serde_json::json!([end.as_u64().unwrap() - 12, end]);
    assert_ne!(end, norm);
    let text = entries.to_string();
    let overlapping = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &whole[8 + length..]].concat();
    safetensors(&overlapping, &["model.safetensors", "overlap"]);
    let renamed = header.replace("model.norm.weight", "model.nrom.weight");
    let renamed = [&whole[..8], renamed.as_bytes(), &whole[8 + length..]].concat();
    safetensors(&renamed, &["missing: model.norm.weight", "model.nrom.weight"]);
}

#[test]
fn shards() {
    const INDEX: &str = "model.safetensors.index.json";
    const SECOND: &str = "model-00002-of-00002.safetensors";
    let sandbox = Sandbox::new();
    let folder = sandbox.checkpoint(SMALL, 2);
    let ids = r#""model": "model", "token_ids": [2]"#;
    let index = fs::read_to_string(folder.join(INDEX)).unwrap();
    for outside in ["../model-00002-of-00002.safetensors", "/etc/passwd"] {
        fs::write(folder.join(INDEX), index.replace(SECOND, outside)).unwrap();
        trace(&sandbox, ids, &[INDEX, outside, "outside the folder"]);
    }
    fs::write(folder.join(INDEX), &index).unwrap();
    fs::remove_file(folder.join(SECOND)).unwrap();
    trace(&sandbox, ids, &[INDEX, SECOND, "not there"]);
    fs::write(folder.join(INDEX), "{").unwrap();
    trace(&sandbox, ids, &[INDEX, "not a readable index"]);
}

#[test]
fn numbers_that_are_none() {
    const NAME: &str = "model.layers.1.self_attn.q_proj.weight";
    let whole = whole();
    let length = u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&whole[8..8 + length]).unwrap();
    let start = 8 + length + header[NAME]["data_offsets"][0].as_u64().unwrap() as usize;
    // bf16: NaN, infinity, minus infinity, in row 5 and column 3 of [8, 6].
    for (bits, said) in [(0x7fc1_u16, "NaN"), (0x7f80, "inf"), (0xff80, "-inf")] {
        let mut bad = whole.clone();
        bad[start + 2 * (5 * 6 + 3)..][..2].copy_from_slice(&bits.to_le_bytes());
        safetensors(&bad, &[NAME, "model.safetensors", &format!("holds {said}"), "[5, 3]"]);
        let sandbox = Sandbox::new();
        fs::write(sandbox.checkpoint(SMALL, 1).join("model.safetensors"), &bad).unwrap();
        let weights = r#"{"check": "weights", "model": "model", "layer": 1, "proj": "q", "output": "out/run"}"#;
        refuses(&sandbox, || sandbox.config(weights), &[NAME, "[5, 3]"]);
        // Layer 0 is sound, and no check reads more than it needs.
        let sound = r#"{"check": "layer-out", "model": "model", "prompt": "x", "layers": [0], "token": -1}"#;
        sandbox.config(sound).ok();
    }
}

#[test]
fn places_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("file"), "").unwrap();
    let text = r#"{"check": "embed", "model": "builtin:tiny", "prompt": "x", "output": "file/run"}"#;
    let before = sandbox.files();
    let run = sandbox.config(text);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("file"), "{}", run.stderr);
    assert_eq!(sandbox.files(), before);
    let over = r#"{"check": "export", "model": "builtin:tiny", "output": "there"}"#;
    sandbox.config(over).ok();
    refuses(&sandbox, || sandbox.config(over), &["already holds config.json"]);
    assert!(Path::new(&sandbox.path("there/tokenizer.json")).is_file());
}
