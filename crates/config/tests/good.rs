//! Documents that Loupe takes, and what it understands.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use loupe_config::{
    CandidateRef, Check, Compare, ComputedIn, Device, Format, Input, MatmulPrecision, ModelRef, Proj, Reference,
    Rejudge, Request, Target, Typed, parse,
};
use loupe_spec::{Arithmetic, Dtype, Figure, NameEntry, Policy};

fn request(text: &str) -> Request {
    parse(Path::new("test.json"), text).unwrap()
}

fn model() -> ModelRef {
    ModelRef { id: "google/gemma-2-2b-it".to_string(), revision: None }
}

fn prompt() -> Input {
    Input::Prompt("The color of the sky is".to_string())
}

/// The documents of the original scripts: a comment first, and no `check`.
#[test]
fn the_five_original_documents_say_which_check_by_their_keys() {
    let cases = [
        (
            "// embed.json\n{\"model\": \"google/gemma-2-2b-it\", \"prompt\": \"The color of the sky is\"}",
            Check::Embed { model: model(), input: prompt() },
        ),
        (
            "// attn.json\n{\"model\": \"google/gemma-2-2b-it\", \"prompt\": \"The color of the sky is\", \"layer\": 0}",
            Check::Attn { model: model(), input: prompt(), layer: 0 },
        ),
        (
            "// weights.json\n{\"model\":\"google/gemma-2-2b-it\",\"layer\":0,\"proj\":\"q\"}",
            Check::Weights { model: model(), target: Target::LayerProj { layer: 0, proj: Proj::Q }, against: None },
        ),
        (
            "// rope.json\n{\"model\": \"google/gemma-2-2b-it\", \"pos\": 6, \"dim\": 256, \"theta\": 10000.0}",
            Check::Rope { model: model(), pos: 6, dim: 256, theta: 10_000.0 },
        ),
        (
            "// layer-out.json\n{\"model\": \"google/gemma-2-2b-it\", \"prompt\": \"The color of the sky is\",\n\
             \"layers\": [0, 1, 25], \"token\": -1}",
            Check::LayerOut { model: model(), input: prompt(), layers: vec![0, 1, 25], token: -1 },
        ),
    ];
    for (text, check) in cases {
        let request = request(text);
        assert_eq!(request.check, check);
        assert!(request.inferred);
        assert_eq!((request.common.backend.as_str(), request.common.dtype), ("flex", Dtype::F32));
        assert_eq!((request.common.precision, request.common.device), (MatmulPrecision::Strict, None));
    }
}

#[test]
fn common_keys_go_with_a_named_check_and_the_document_is_kept_in_order() {
    let request = request(
        r#"{"check": "embed", "token_ids": [2, 5], "model": "./tiny", "revision": "main", "backend": "cuda",
            "device": 1, "dtype": "bf16", "precision": "tf32", "output": "out/run", "mistakes": ["rope_interleaved"]}"#,
    );
    let tiny = ModelRef { id: "./tiny".to_string(), revision: Some("main".to_string()) };
    assert_eq!(request.check, Check::Embed { model: tiny, input: Input::TokenIds(vec![2, 5]) });
    assert!(!request.inferred);
    let common = request.common;
    assert_eq!(common.backend, "cuda");
    assert_eq!(common.device, Some(Device::Index(1)));
    assert_eq!((common.dtype, common.precision), (Dtype::Bf16, MatmulPrecision::Tf32));
    assert_eq!(common.output, Some(PathBuf::from("out/run")));
    assert_eq!(common.mistakes, ["rope_interleaved"]);
    let keys: Vec<&String> = request.document.as_object().unwrap().keys().take(3).collect();
    assert_eq!(keys, ["check", "token_ids", "model"]);
}

#[test]
fn every_other_key_is_read() {
    let trace = request(
        r#"{"check":"trace","model":"m","prompt":"x","layers":[1],"probes":["layers.*.output","norm"],
            "backend":"wgpu","device":"discrete:0"}"#,
    );
    let model = ModelRef { id: "m".to_string(), revision: None };
    let probes = Some(vec!["layers.*.output".to_string(), "norm".to_string()]);
    let input = Input::Prompt("x".to_string());
    assert_eq!(trace.check, Check::Trace { model: model.clone(), input, layers: Some(vec![1]), probes, emit: None });
    assert_eq!(trace.common.device, Some(Device::Name("discrete:0".to_string())));

    let weights = request(r#"{"check":"weights","model":"m","tensor":"model.norm.weight","against":"other"}"#);
    let target = Target::Tensor("model.norm.weight".to_string());
    assert_eq!(weights.check, Check::Weights { model: model.clone(), target, against: Some(PathBuf::from("other")) });

    let export = request(r#"{"check":"export","model":"m","output":"out/tiny"}"#);
    assert_eq!(export.check, Check::Export { model, output: PathBuf::from("out/tiny") });
    assert_eq!(export.common.output, Some(PathBuf::from("out/tiny")));
}

#[test]
fn compare_takes_its_reference_in_three_ways() {
    let model = Some(ModelRef { id: "m".to_string(), revision: None });
    let input = Some(Input::Prompt("x".to_string()));
    let run = Reference { model, input, report: None };
    let saved = Reference { model: None, input: None, report: Some(PathBuf::from("ref.json")) };
    let both = Reference { report: saved.report.clone(), ..run.clone() };
    for (keys, expected) in [
        (r#""model":"m","prompt":"x""#, run.clone()),
        (r#""reference":{"model":"m","prompt":"x"}"#, run.clone()),
        (r#""reference":{"model":"m"},"prompt":"x""#, run),
        (r#""reference":{"report":"ref.json"}"#, saved),
        (r#""reference":{"report":"ref.json"},"model":"m","prompt":"x""#, both),
    ] {
        let request = request(&format!(r#"{{"check":"compare","candidate":"a.safetensors",{keys}}}"#));
        let Check::Compare(compare) = request.check else { unreachable!("{keys}") };
        assert_eq!(compare.reference, expected, "{keys}");
        assert_eq!(compare.candidates, [CandidateRef::Path(PathBuf::from("a.safetensors"))]);
        assert_eq!(compare.format, [Format::Text]);
        assert!(!compare.stimulus);
    }
}

#[test]
fn compare_takes_names_positions_and_formats() {
    let request = request(
        r#"{"check":"compare","candidates":["a","b"],"model":"m","token_ids":[2],"positions":[6],"stimulus":true,"output":"out/v",
            "names":{"l_out-0":"layers.0.output"},"candidate_dtype":"q5_k","format":["json","text","json"]}"#,
    );
    let Check::Compare(Compare { candidates, names, candidate_dtype, positions, format, stimulus, .. }) = request.check
    else {
        unreachable!("not a compare")
    };
    assert_eq!(candidates, ["a", "b"].map(|path| CandidateRef::Path(PathBuf::from(path))));
    assert_eq!(names, [NameEntry::new("l_out-0", "layers.0.output").unwrap()]);
    assert_eq!((candidate_dtype, positions), (Some(ComputedIn::Arithmetic(Arithmetic::Q5K)), Some(vec![6])));
    assert_eq!(format, [Format::Json, Format::Text]);
    assert!(stimulus);
}

#[test]
fn a_byte_order_mark_and_block_comments_are_no_part_of_the_document() {
    let request = request("\u{feff}/* mine */ {\"model\": \"m\", \"prompt\": \"x\"} // end");
    assert!(matches!(request.check, Check::Embed { .. }));
}

#[test]
fn a_candidate_may_be_numbers() {
    let text = r#"{"check": "compare", "candidate": {"layers.1.output": {"token": -1, "first": [0.1230, -2e-3]},
                   "norm": {"token": 0, "from": 8, "first": [1]}}}"#;
    let Check::Compare(compare) = request(text).check else { unreachable!("not a compare") };
    let typed = |name: &str, token, from, numbers: &[&str]| Typed {
        name: name.to_string(),
        token,
        from,
        numbers: numbers.iter().map(ToString::to_string).collect(),
    };
    let numbers = vec![typed("layers.1.output", -1, 0, &["0.1230", "-2e-3"]), typed("norm", 0, 8, &["1"])];
    assert_eq!(compare.candidates, [CandidateRef::Typed(numbers)]);
}

#[test]
fn tolerances_are_names_and_numbers_and_each_is_taken_once() {
    let own = || Policy::Own(vec![(Figure::Atol, 1e-5), (Figure::Cosine, 0.999)]);
    let text = r#"{"check": "compare", "candidate": "a", "policy": ["torch", {"cosine": 0.999, "atol": 1e-5}, {"without": ["silu"]},
                   "torch", {"without": ["gelu_erf"], "nmse": 0}]}"#;
    let Check::Compare(compare) = request(text).check else { unreachable!("not a compare") };
    assert_eq!(compare.policies, [Policy::Torch, own(), Policy::Own(vec![(Figure::Nmse, 0.0)])]);
    assert_eq!(compare.without, ["silu", "gelu_erf"]);

    let text = r#"{"check": "rejudge", "verdict": "out/v.json", "policy": "llama-nmse"}"#;
    let verdict = PathBuf::from("out/v.json");
    let expected = Rejudge { verdict, policies: vec![Policy::LlamaNmse], format: vec![Format::Text] };
    assert_eq!(request(text).check, Check::Rejudge(expected));
}
