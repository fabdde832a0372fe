//! Each kind of verdict as a person reads it, of runs that transformers made (tests/fixtures/mistakes).
//!
//! The judge computes in f64 what these files hold in f32 or less: its digits are the same on every processor.

use std::collections::BTreeMap;

use loupe_spec::{Dtype, HostTensor};

use crate::{Run, Sandbox, repository, snapshot};

/// A run of `mini`, `file` below tests/fixtures, in a sandbox.
struct Case {
    sandbox: Sandbox,
    tensors: BTreeMap<String, HostTensor>,
}

impl Case {
    fn of(file: &str) -> Case {
        let file = loupe_report::read_safetensors(&repository().join("tests/fixtures").join(file)).unwrap();
        let tensors = file.names().into_iter().map(|name| (name.clone(), file.get(&name).unwrap())).collect();
        Case { sandbox: Sandbox::new(), tensors }
    }

    /// Of it, what `keep` keeps.
    fn with(mut self, keep: impl Fn(&str) -> bool) -> Case {
        self.tensors.retain(|name, _| name == "token_ids" || keep(name));
        self
    }

    /// `edit` changes the numbers of the tensor called `name`.
    fn edited(mut self, name: &str, edit: impl Fn(&mut HostTensor)) -> Case {
        edit(self.tensors.get_mut(name).unwrap());
        self
    }

    /// Stored in `dtype`.
    fn stored(mut self, dtype: Dtype) -> Case {
        for tensor in self.tensors.values_mut().filter(|tensor| tensor.values.dtype() == Dtype::F32) {
            *tensor = HostTensor { shape: tensor.shape.clone(), values: tensor.values.to_dtype(dtype) };
        }
        self
    }

    fn judged(self, keys: &str) -> Run {
        self.sandbox.dump(&self.tensors);
        self.sandbox.config(&config(r#""candidate": "dump.safetensors""#, keys))
    }
}

fn config(candidates: &str, keys: &str) -> String {
    let model = repository().join("tests/fixtures/mini");
    format!(r#"{{"check": "compare", "model": {model:?}, {candidates}{keys}}}"#)
}

/// Holds what `run` says against the snapshot called `name`, with paths as they are in the repository.
#[track_caller]
fn says(run: Run, code: i32, name: &str) {
    assert_eq!((run.code, run.stderr.as_str()), (code, ""), "{}", run.stdout);
    let root = format!("{}/", repository().display());
    snapshot::assert(&format!("verdict-{name}"), &run.stdout.replace(&root, ""));
}

fn is_outcome(name: &str) -> bool {
    name == "logits" || name.ends_with(".output")
}

#[test]
fn exact() {
    says(Case::of("mini/golden-f32.safetensors").with(|name| name == "embed.raw").judged(""), 0, "exact");
}

#[test]
fn numeric() {
    says(Case::of("mini/golden-f32.safetensors").judged(""), 0, "numeric");
    says(Case::of("mistakes/benign-tf32.safetensors").judged(""), 0, "numeric-tf32");
}

#[test]
fn one_mistake() {
    says(Case::of("mistakes/gelu_erf.safetensors").judged(r#", "output": "out/verdict""#), 1, "mistake");
}

#[test]
fn a_mistake_that_no_stage_shows_by_itself() {
    says(Case::of("mistakes/gelu_erf.safetensors").stored(Dtype::F16).judged(""), 1, "below-the-noise");
}

#[test]
fn mistakes_that_fit_alike() {
    let only = |name: &str| name == "logits";
    says(Case::of("mistakes/window_everywhere.safetensors").with(only).judged(""), 1, "alike");
}

#[test]
fn a_number_of_no_mistake() {
    let without = r#", "policy": {"without": ["scale_head_dim"]}"#;
    says(Case::of("mistakes/scale_head_dim.safetensors").judged(without), 1, "number");
}

#[test]
fn a_mistake_that_nobody_knows() {
    let without = r#", "policy": {"without": ["gelu_erf"]}"#;
    says(Case::of("mistakes/gelu_erf.safetensors").judged(without), 1, "unknown");
}

#[test]
fn a_kernel_that_leaves_zeros() {
    let zeros = |tensor: &mut HostTensor| {
        let mut values = tensor.values.to_f64();
        values[..12].fill(0.0);
        tensor.values = loupe_spec::Values::F64(values).to_dtype(Dtype::F32);
    };
    says(Case::of("mini/golden-f32.safetensors").edited("layers.1.mlp.down_proj", zeros).judged(""), 3, "fault");
}

#[test]
fn a_shape_of_another_model() {
    let wider = |tensor: &mut HostTensor| {
        let values = tensor.values.to_f64().chunks_exact(10).flat_map(|row| [row, &row[..2]].concat()).collect();
        *tensor = HostTensor { shape: vec![5, 12], values: loupe_spec::Values::F64(values).to_dtype(Dtype::F32) };
    };
    says(Case::of("mini/golden-f32.safetensors").edited("layers.0.mlp.gate_proj", wider).judged(""), 1, "shape");
}

#[test]
fn what_was_recorded_does_not_tell() {
    says(Case::of("mistakes/benign-tf32.safetensors").with(is_outcome).judged(""), 4, "inconclusive");
}

#[test]
fn other_tokens() {
    let ids = r#", "token_ids": [2, 3, 4, 5, 7]"#;
    says(Case::of("mini/golden-f32.safetensors").judged(ids), 1, "tokens");
}

#[test]
fn eight_numbers_of_a_log() {
    let numbers = r#""candidate": {"layers.0.output": {"token": -1, "first": [1.5, 2.5, 3.5]}}"#;
    says(Sandbox::new().config(&config(numbers, r#", "token_ids": [2, 3, 4, 5, 6]"#)), 1, "numbers");
}

#[test]
fn several_runs_stand_side_by_side() {
    let run = |name: &str| format!("{:?}", repository().join("tests/fixtures").join(name));
    let [right, tf32, wrong, other] = [
        "mini/golden-f32.safetensors",
        "mistakes/benign-tf32.safetensors",
        "mistakes/gelu_erf.safetensors",
        "mistakes/scale_missing.safetensors",
    ]
    .map(run);
    let judged = |runs: &[&String]| {
        let runs: Vec<&str> = runs.iter().map(|run| run.as_str()).collect();
        Sandbox::new().config(&config(&format!(r#""candidates": [{}]"#, runs.join(", ")), ""))
    };
    says(judged(&[&right, &wrong]), 1, "two");
    says(judged(&[&right, &tf32, &wrong, &other]), 1, "four");
}

/// Zeros that the engine went on with are its own; those that it did not (the snapshot "fault") are the recording's.
#[test]
fn zeros_that_were_used_are_not_the_recordings() {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "token_ids": [2, 5, 7], "output": "run",
        "mistakes": ["matmul_zero_tiles@2"]}"#;
    sandbox.config(trace).ok();
    let run = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stdout.lines().next().unwrap().ends_with("the formulas may be right, what ran them is not"),
        "{}",
        run.stdout
    );
}

/// A run of Loupe's own: its digits are the machine's, its words are not.
#[test]
fn a_cast_in_another_place() {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "output": "run",
        "dtype": "bf16", "mistakes": ["norm_cast_first"]}"#;
    sandbox.config(trace).ok();
    let text = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#).ok();
    let said = "numeric: norm_cast_first, in every layer, a cast elsewhere than in transformers and no mistake of the formulas; \
                no other difference is larger than rounding in bf16; ";
    assert!(text.starts_with(said), "{text}");
}

/// Beyond the limit, and no mistake: nothing of it is called wrong.
#[test]
fn a_cast_that_is_beyond_the_limit() {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "output": "run",
        "mistakes": ["embed_scale_rounded"]}"#;
    sandbox.config(trace).ok();
    let text = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#).ok();
    assert!(text.starts_with("numeric: embed_scale_rounded, at embed.scaled, a cast elsewhere"), "{text}");
    assert!(text.contains(": right but for a cast\n") && text.contains("| other cast"), "{text}");
    assert!(!text.contains("WRONG"), "{text}");
}

/// An engine without a cap gives the same values as one whose logits were recorded before it.
#[test]
fn logits_before_the_cap_are_said_first() {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "output": "run",
        "probes": ["norm", "logits.raw"]}"#;
    sandbox.config(trace).ok();
    let text = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#).ok();
    let first = text.lines().next().unwrap();
    assert!(first.contains("; its logits are those before the cap"), "{text}");
    assert!(text.contains("it has no cap (final_softcap_missing)"), "{text}");
}

/// Layer 0 is within its limit with the mistake and without it, and likelier without.
#[test]
fn a_layer_that_may_be_right_is_not_called_wrong_because_another_is() {
    let (sandbox, model) = (Sandbox::new(), repository().join("tests/fixtures/mini"));
    let trace = format!(
        r#"{{"check": "trace", "model": {model:?}, "token_ids": [2, 6, 2, 14, 3, 13, 14, 6, 5, 4, 0, 6], "output": "run",
        "mistakes": ["norm_eps--none@1"], "probes": ["embed.scaled", "layers.0.output", "layers.1.output", "norm", "logits"]}}"#
    );
    sandbox.config(&trace).ok();
    let run = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#);
    assert!(run.stdout.starts_with("architectural: norm_eps, in layer 1; "), "{}", run.stdout);
}

#[test]
fn of_two_mistakes_the_first_stands_first() {
    let sandbox = Sandbox::new();
    let trace = r#"{"check": "trace", "model": "builtin:tiny", "prompt": "The color of the sky is", "output": "run",
        "mistakes": ["gelu_erf@2", "attn_scale=0.3"]}"#;
    sandbox.config(trace).ok();
    let run = sandbox.config(r#"{"check": "compare", "candidate": "run"}"#);
    let said = "architectural: attn_scale = 0.3 (right: 0.204124), in every layer; gelu_erf, in layer 2; \
                together they explain 5 of 5 failing stages\n";
    assert!(run.stdout.starts_with(said), "{}", run.stdout);
    let at = |words: &str| run.stdout.find(words).unwrap();
    assert!(at("\nattn_scale: ") < at("\ngelu_erf: ") && run.stdout.contains("for layers.0.self_attn.scores in full"));
}

/// Scores that were masked in place are a recording of the mask: one that hides too much is wrong, though everything after it
/// was computed as it should be from there. Whatever stands there in a right run is right.
#[test]
fn scores_masked_in_place_are_masks() {
    let masked = |case: Case, instead: f64| {
        let layers = [0, 1].map(|layer| format!("layers.{layer}.self_attn"));
        layers.iter().fold(case, |case, layer| {
            let mask = case.tensors[&format!("{layer}.mask")].values.to_f64();
            let mask_scores = |tensor: &mut HostTensor| {
                let mut values = tensor.values.to_f64();
                let places = mask.len();
                values
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| mask[at % places] == 0.0)
                    .for_each(|(_, v)| *v = instead);
                tensor.values = loupe_spec::Values::F64(values).to_dtype(Dtype::F32);
            };
            case.edited(&format!("{layer}.scores"), mask_scores).edited(&format!("{layer}.scores_capped"), mask_scores)
        })
    };
    let judged =
        |file: &str, instead: f64| masked(Case::of(file), instead).with(|name| !name.ends_with("mask")).judged("");
    for instead in [f64::NEG_INFINITY, f64::NAN, -1e9, -1e4, -100.0, 0.0] {
        let right = judged("mini/golden-f32.safetensors", instead);
        assert_eq!((right.code, right.stderr.as_str()), (0, ""), "{instead}: {}", right.stdout);
        assert!(!right.stdout.contains("record whole tensors"), "{}", right.stdout);
        for id in ["window_everywhere", "window_off_by_one--fewer", "window_off_by_one", "causal_off_by_one"] {
            let wrong = judged(&format!("mistakes/{id}.safetensors"), instead);
            let said = format!("architectural: {}", id.split("--").next().unwrap());
            assert!(wrong.stdout.starts_with(&said), "{id}, {instead}: {}", wrong.stdout);
        }
    }
}
