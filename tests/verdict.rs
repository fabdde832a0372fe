//! The verdict: rounding is never called a mistake, and mistakes are named, whoever planted them.
//!
//! The planted runs of tests/fixtures/mistakes were made by transformers, with mistakes written in Python: they share
//! no code with what judges them. Run with `--nocapture` for the figures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use loupe_judge::{Judgement, Rows, Start, VerdictError, Verdicts, text};
use loupe_report::read_safetensors;
use loupe_spec::{Dtype, HostTensor, Probe, Values};
use loupe_tests::judged::{Kept, budget_used, ids, verdict, verdict_without};
use loupe_tests::{Case, Trace, at, cases, fixture, offered, present, probe, read_trace};

/// Every trace that transformers made of `mini`: name, first stage that its metadata declares, values.
fn planted() -> Vec<(String, String, Trace)> {
    let mut files: Vec<_> = std::fs::read_dir(fixture("mistakes")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let file = read_safetensors(path).unwrap();
        let metadata: BTreeMap<&str, &str> = file.metadata().into_iter().collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, metadata["first_stage"].to_string(), read_trace(path))
    };
    files.iter().map(read).collect()
}

#[test]
fn mistakes_made_in_transformers_are_named_at_their_first_stage() {
    let mini = Case::open("mini");
    let (mut named, mut undeclared) = (0, 0);
    for (name, first_stage, trace) in planted() {
        for kept in Kept::ALL {
            let verdict = verdict(&mini, &trace, kept, None);
            let id = name.split("--").next().unwrap();
            if id.starts_with("benign-") {
                // A TF32 run of which no projection was recorded cannot be told from a small mistake.
                let unsure = kept != Kept::Everything && verdict.verdict == Judgement::Inconclusive;
                assert!(unsure || verdict.exit_code == 0, "{name} {kept:?}: {:?}", verdict.detail);
                continue;
            }
            if ids(&verdict).is_empty() {
                let declared = verdict.indistinguishable.iter().any(|unseen| unseen == id);
                assert!(kept != Kept::Everything && declared, "{name} {kept:?}: {:?}", verdict.detail);
                assert_ne!(verdict.verdict, Judgement::Architectural, "{name} {kept:?}");
                undeclared += 1;
                continue;
            }
            assert_eq!(ids(&verdict), [id], "{name} {kept:?}");
            assert_eq!(verdict.verdict, Judgement::Architectural, "{name} {kept:?}");
            if kept == Kept::Everything {
                assert_eq!(verdict.first_divergence.unwrap().probe, first_stage, "{name}");
                assert!(verdict.mistakes[0].alternatives.is_empty(), "{name}: {:?}", verdict.mistakes[0].alternatives);
            }
            named += 1;
        }
    }
    println!("{named} named, {undeclared} declared not to be seen in what was kept");
    assert!(named >= 100, "{named}");
}

#[test]
fn runs_that_differ_in_rounding_alone_are_never_called_a_mistake() {
    let (mut judged, mut most) = (0, (0.0, String::new()));
    for case in cases() {
        for (backend, dtype) in offered().filter(|(backend, dtype)| present(backend, *dtype)) {
            let run = case.forward(backend, dtype, case.probes(), &[]);
            for kept in Kept::ALL {
                let verdict = verdict(&case, &run, kept, Some(dtype));
                let what = format!("{backend} {dtype} {} {kept:?}", case.name);
                assert_eq!(verdict.exit_code, 0, "{what}: {:?} {:?}", verdict.detail, verdict.first_divergence);
                assert!(verdict.mistakes.is_empty(), "{what}: {:?}", ids(&verdict));
                judged += 1;
                if budget_used(&verdict) > most.0 {
                    most = (budget_used(&verdict), what);
                }
            }
        }
        for (golden, dtype) in [(&case.f32, Dtype::F32), (&case.bf16, Dtype::Bf16)] {
            let verdict = verdict(&case, golden, Kept::Everything, None);
            assert_eq!(verdict.exit_code, 0, "transformers' {dtype} {}: {:?}", case.name, verdict.detail);
            assert_eq!(verdict.candidate.dtype, dtype);
            judged += 1;
        }
    }
    println!("{judged} benign dumps; the one that used most of its budget: {:.0} %, {}", most.0 * 100.0, most.1);
    assert!(judged >= 100);
}

/// One of each family, and where it first shows in the built-in model.
const TEN: [(&str, &str); 10] = [
    ("embed_scale_missing", "embed.scaled"),
    ("norm_without_one", "layers.0.input_layernorm"),
    ("qkv_order", "layers.0.self_attn.k_proj"),
    ("rope_interleaved", "layers.0.self_attn.q_rope"),
    ("scale_head_dim", "layers.0.self_attn.scores"),
    ("attn_softcap_missing", "layers.0.self_attn.scores_capped"),
    ("window_parity", "layers.0.self_attn.mask"),
    ("post_norm_missing", "layers.0.post_attention_layernorm"),
    ("gelu_erf", "layers.0.mlp.act"),
    ("final_softcap_missing", "logits"),
];

#[test]
fn planted_changes_are_found_at_their_stage_on_every_backend() {
    let case = Case::open("builtin");
    for backend in ["flex", "ndarray", "wgpu"] {
        if !present(backend, Dtype::F32) {
            continue;
        }
        for (id, first) in TEN {
            let run = case.forward(backend, Dtype::F32, case.probes(), &[id.to_string()]);
            let verdict = verdict(&case, &run, Kept::Everything, Some(Dtype::F32));
            assert_eq!(verdict.verdict, Judgement::Architectural, "{backend} {id}");
            assert_eq!(verdict.first_divergence.as_ref().unwrap().probe, first, "{backend} {id}");
            assert_eq!(ids(&verdict), [id], "{backend} {id}");
        }
    }
}

/// Where a stage is first wrong, the verdict says what it was recomputed from.
#[test]
fn a_divergence_says_what_it_was_computed_from() {
    let case = Case::open("builtin");
    for (id, kept, from) in [
        ("embed_scale_missing", Kept::Everything, Start::OwnInputs),
        ("gelu_erf", Kept::Everything, Start::OwnInputs),
        // embed.raw is not among the layers.
        ("embed_scale_missing", Kept::Layers, Start::TokenIds),
        ("gelu_erf", Kept::Layers, Start::Recorded),
        ("gelu_erf", Kept::Logits, Start::TokenIds),
    ] {
        let run = case.forward("flex", Dtype::F32, case.probes(), &[id.to_string()]);
        let verdict = verdict(&case, &run, kept, Some(Dtype::F32));
        assert_eq!(verdict.first_divergence.unwrap().from, from, "{id} {kept:?}");
    }
}

#[test]
fn a_mistake_in_one_layer_or_at_one_norm_is_named_there() {
    let case = Case::open("builtin");
    let sites = [
        ("rope_interleaved@2", "rope_interleaved", "layers.2.self_attn.q_rope", 2),
        (
            "norm_one_twice@layers.1.pre_feedforward_layernorm",
            "norm_one_twice",
            "layers.1.pre_feedforward_layernorm",
            1,
        ),
        ("silu@3", "silu", "layers.3.mlp.act", 3),
    ];
    for (planted, id, probe, layer) in sites {
        let run = case.forward("flex", Dtype::F32, case.probes(), &[planted.to_string()]);
        let verdict = verdict(&case, &run, Kept::Everything, Some(Dtype::F32));
        assert_eq!(ids(&verdict), [id]);
        assert_eq!(
            (verdict.mistakes[0].probe.to_string().as_str(), &verdict.mistakes[0].layers[..]),
            (probe, &[layer][..])
        );
    }
}

/// Layers without a window are the same with a wider one.
#[test]
fn a_mistake_is_named_in_the_layers_that_it_changes() {
    let case = Case::open("builtin");
    let run = case.forward("flex", Dtype::F32, case.probes(), &["window_off_by_one".to_string()]);
    for kept in [Kept::Everything, Kept::Layers] {
        let verdict = verdict(&case, &run, kept, Some(Dtype::F32));
        assert_eq!(
            (ids(&verdict), &verdict.mistakes[0].layers[..]),
            (vec!["window_off_by_one"], &[0, 2][..]),
            "{kept:?}"
        );
    }
}

/// A block that was taken from another family is wrong in its own half of each layer; the other half is not accused.
#[test]
fn a_mistake_in_one_half_of_every_layer_is_named_there() {
    let case = Case::open("builtin");
    let halves = [["post_attention_layernorm", "residual_attn"], ["post_feedforward_layernorm", "output"]];
    for (id, half) in
        ["post_norm_after_residual", "norm_without_one"].into_iter().flat_map(|id| halves.map(|half| (id, half)))
    {
        let probes = (0..4).flat_map(|layer| half.map(|path| at(layer, path)));
        let probes = probes.filter(|probe| id == "post_norm_after_residual" || case.graph().weight(*probe).is_some());
        let planted: Vec<String> = probes.map(|probe| format!("{id}@{probe}")).collect();
        let mut run = case.forward("flex", Dtype::F32, case.probes(), &planted);
        let blocks = ["self_attn.o_proj", "mlp.down_proj"];
        run.retain(|probe, _| Kept::Layers.keeps(*probe) || blocks.contains(&probe.path()));
        let verdict = verdict(&case, &run, Kept::Everything, Some(Dtype::F32));
        assert_eq!((ids(&verdict), &verdict.unexplained[..]), (vec![id], &[][..]), "{half:?}");
        let made: BTreeSet<Probe> = verdict.mistakes[0].sites.iter().copied().collect();
        let wrong = |probe: &Probe| planted.contains(&format!("{id}@{probe}"));
        assert!(made.iter().all(wrong) && made.len() == planted.len(), "{half:?}: {made:?}");
    }
}

#[test]
fn two_mistakes_at_once_are_both_named() {
    let case = Case::open("builtin");
    let pair = ["rope_interleaved".to_string(), "embed_scale_missing".to_string()];
    let run = case.forward("flex", Dtype::F32, case.probes(), &pair);
    for kept in Kept::ALL {
        let verdict = verdict(&case, &run, kept, Some(Dtype::F32));
        assert_eq!(ids(&verdict), ["embed_scale_missing", "rope_interleaved"], "{kept:?}");
    }
}

/// The f32 run of another prompt than the goldens'.
fn run_of(case: &Case, token_ids: &[i64], mistakes: &[&str]) -> Trace {
    run_on("flex", case, token_ids, mistakes)
}

fn run_on(backend: &str, case: &Case, token_ids: &[i64], mistakes: &[&str]) -> Trace {
    let ids = HostTensor { shape: vec![token_ids.len()], values: Values::I64(token_ids.to_vec()) };
    let (positions, given) = ((0..token_ids.len()).collect(), Trace::from([(Probe::TOKEN_IDS, ids)]));
    let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    case.run_at(positions, backend, Dtype::F32, given, case.probes(), &mistakes).unwrap()
}

/// The first tokens of this prompt show one of the two alone: weighed as one tensor, the logits lead to no pair.
#[test]
fn two_mistakes_are_found_in_logits_token_by_token() {
    let case = Case::open("parity");
    let pair = ["window_off_by_one--fewer", "norm_mean_subtracted"];
    let run = run_of(&case, &[2, 22, 15, 4, 1, 46, 77, 64, 52, 37, 56, 22], &pair);
    let verdict = verdict(&case, &run, Kept::Logits, Some(Dtype::F32));
    assert_eq!(ids(&verdict), ["norm_mean_subtracted", "window_off_by_one"]);
}

/// e^-50 leaks into what should be 0 and moves nothing else but by what f64 rounds.
#[test]
fn a_leak_that_only_zeros_show_is_named() {
    let case = Case::open("mini");
    let run = run_on("ndarray", &case, &[2, 0, 6, 2, 2, 4, 5, 13, 10, 7, 14, 4], &["softcap_after_mask@0"]);
    assert_eq!(ids(&verdict(&case, &run, Kept::Everything, Some(Dtype::F32))), ["softcap_after_mask"]);
}

/// Five noisy runs say of this prompt that the last norm has another epsilon; sixteen more do not.
#[test]
fn what_seems_to_be_there_by_chance_is_not_named() {
    let case = Case::open("layer_types");
    let run = run_of(&case, &[2, 33, 10, 8, 57, 44, 34, 14, 35, 6, 70, 57], &["scale_missing@0"]);
    for kept in [Kept::Everything, Kept::Layers] {
        assert_eq!(ids(&verdict(&case, &run, kept, Some(Dtype::F32))), ["scale_missing"], "{kept:?}");
    }
}

/// Without the mistake's name there is only the number. No epsilon and three times the right one stay below the budget in
/// logits, ten times the right one above.
#[test]
fn a_value_is_fitted_below_the_budget_and_above() {
    let case = Case::open("parity");
    let tokens = [2, 9, 38, 23, 69, 68, 23, 43, 54, 17, 39, 60];
    for (planted, value, below) in [
        ("norm_eps--none", 0.0, true),
        ("rms_norm_eps=3e-6", 3e-6, true),
        ("rms_norm_eps=1e-5", 1e-5, false),
        ("rms_norm_eps=1e-4", 1e-4, false),
    ] {
        let run = run_of(&case, &tokens, &[planted]);
        let logits: Trace = run.into_iter().filter(|(probe, _)| Kept::Logits.keeps(*probe)).collect();
        let verdict = verdict_without(&["norm_eps".to_string()], &case, logits, Rows::All, Some(Dtype::F32));
        assert_eq!((budget_used(&verdict) < 1.0, ids(&verdict).is_empty()), (below, true), "{planted}");
        assert_eq!(verdict.verdict, Judgement::Architectural, "{planted}");
        let fitted: Vec<_> = verdict.fitted.iter().map(|fitted| (fitted.parameter.as_ref(), fitted.value)).collect();
        let [("rms_norm_eps", Some(found))] = fitted[..] else { unreachable!("{planted}: {fitted:?}") };
        assert!((found - value).abs() <= 0.1 * value, "{planted}: {found:e}");
    }
}

#[test]
fn a_cast_in_another_place_is_a_policy_and_unwritten_tiles_are_a_fault() {
    let case = Case::open("builtin");
    for id in ["norm_cast_first", "norm_weight_low"] {
        let run = case.forward("flex", Dtype::Bf16, case.probes(), &[id.to_string()]);
        let verdict = verdict(&case, &run, Kept::Everything, Some(Dtype::Bf16));
        assert_eq!(
            (verdict.verdict, verdict.detail.as_deref()),
            (Judgement::Numeric, Some(format!("dtype_policy:{id}").as_str()))
        );
    }
    let run = case.forward("flex", Dtype::F32, case.probes(), &["matmul_zero_tiles@1".to_string()]);
    assert_eq!(verdict(&case, &run, Kept::Everything, Some(Dtype::F32)).verdict, Judgement::BackendFault);
    // An adapter whose allocations failed: every number it gives back is 0.
    let zeros = |(probe, tensor): (&Probe, &HostTensor)| {
        let values = Values::F32(vec![0.0; tensor.values.len()]);
        let keep = !probe.is_computed();
        (*probe, if keep { tensor.clone() } else { HostTensor { values, ..tensor.clone() } })
    };
    let zeros: Trace = case.f32.iter().map(zeros).collect();
    for kept in Kept::ALL {
        let verdict = verdict(&case, &zeros, kept, Some(Dtype::F32));
        assert_eq!(verdict.verdict, Judgement::BackendFault, "{kept:?}: {:?}", verdict.detail);
    }
}

/// A mistake, what is not seen, logits with figures of their own, and a NaN, for which JSON has no number.
#[test]
fn a_verdict_reads_back_as_it_was_written() {
    let case = Case::open("builtin");
    let run = case.forward("flex", Dtype::F32, case.probes(), &["gelu_erf".to_string()]);
    let mut broken = run.clone();
    let norm = &broken[&probe("norm")];
    let nan = HostTensor { shape: norm.shape.clone(), values: Values::F32(vec![f32::NAN; norm.values.len()]) };
    broken.insert(probe("norm"), nan);
    let all = [run, broken].map(|run| verdict(&case, &run, Kept::Everything, Some(Dtype::F32)));
    assert!(!all[0].mistakes.is_empty() && !all[0].unseen.is_empty() && !all[0].stages.is_empty());
    let written = serde_json::to_vec(&Verdicts::of(all.to_vec())).unwrap();
    let read = Verdicts::from_json(&written).unwrap();
    assert_eq!(String::from_utf8(serde_json::to_vec(&read).unwrap()), String::from_utf8(written));
    assert_eq!(text(&read, None), text(&Verdicts::of(all.to_vec()), None));
    let other = Verdicts::from_json(br#"{"schema": "loupe.report/1"}"#).unwrap_err();
    assert!(matches!(other, VerdictError::Schema { found: Some(_) }), "{other}");
}

/// The thresholds stand in the middle of a gap: halved they raise no alarm over right code here, doubled they miss
/// none of the mistakes that a full trace shows beyond its budget.
#[test]
fn thresholds_may_move_by_two_either_way() {
    let mini = Case::open("mini");
    let (mut benign, mut wrong) = (Vec::new(), Vec::new());
    for (name, _, trace) in planted() {
        let verdict = verdict(&mini, &trace, Kept::Everything, None);
        if name.starts_with("benign-") { benign.push(budget_used(&verdict)) } else { wrong.push(budget_used(&verdict)) }
    }
    for case in cases() {
        for dtype in [Dtype::F64, Dtype::F32, Dtype::Bf16, Dtype::F16] {
            let run = case.forward("flex", dtype, case.probes(), &[]);
            benign.push(budget_used(&verdict(&case, &run, Kept::Everything, Some(dtype))));
        }
    }
    println!("limit   false alarms of {}   misses of {}", benign.len(), wrong.len());
    for factor in [0.25, 0.5, 1.0, 2.0, 4.0] {
        let alarms = benign.iter().filter(|used| **used > factor).count();
        let misses = wrong.iter().filter(|used| **used <= factor).count();
        println!("x {factor:<5} {alarms:>12} {misses:>18}");
        if (0.5..=2.0).contains(&factor) {
            assert_eq!((alarms, misses), (0, 0), "at {factor} times the limits");
        }
    }
}
