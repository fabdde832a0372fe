//! Precisions and mistakes told apart: what four bits a weight lose, and what they hide.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use loupe_judge::{Judgement, Rows, Verdicts, Why, text};
use loupe_runtime::{Referee, edits};
use loupe_spec::{Arithmetic, Dtype, Given, Precision, Probe, Replay, Replayer, Rounding, Values, WeightForm};
use loupe_tests::judged::{candidate, judged};
use loupe_tests::{Case, Trace, probe};

/// A run of an engine that keeps its matrices in blocks of 32 with 4 bits a weight, and plants `mistakes`.
fn quantised(case: &Case, mistakes: &[String]) -> Trace {
    let tokens = case.f32[&Probe::TOKEN_IDS].values.len();
    let referee = Referee::new(case.graph(), &case.tensors, tokens);
    let start =
        case.f32.iter().filter(|(probe, _)| **probe == Probe::TOKEN_IDS).map(|(p, t)| (*p, t.clone())).collect();
    let weights = WeightForm::Blocks { bits: 4 };
    // No seed of the judge's own.
    let simulation = Precision { weights, ..Precision::plain(Dtype::F32) }.simulation(Rounding::Stochastic(0x77));
    let given = Given::whole(&start);
    let mistakes = &edits(mistakes, case.graph()).unwrap();
    referee.replay(Replay { given, wanted: &case.probes(), mistakes, simulation }).unwrap()
}

/// A precision shows in every layer and in every token; what shows in some is a mistake. The head's may be its own.
#[test]
fn a_precision_is_not_what_some_layers_or_tokens_show() {
    let case = Case::open("builtin");
    let tokens = case.f32[&Probe::TOKEN_IDS].values.len();
    let referee = Referee::new(case.graph(), &case.tensors, tokens);
    let outputs = |probe: &Probe| matches!(probe.path(), "token_ids" | "output" | "norm");
    let head = BTreeSet::from([probe("logits.raw"), probe("logits")]);
    let judged_as = |run: Trace| judged(&[], &case, &candidate(&case, run, Rows::All, None)).unwrap();
    let (right, coarse) = (case.f32.clone(), quantised(&case, &[]));
    // The head by itself, from the norm that was recorded.
    let of_head = |norm: &Trace, simulation| {
        let given = norm.iter().filter(|(probe, _)| probe.path() == "norm").map(|(p, t)| (*p, t.clone())).collect();
        let replay = Replay { given: Given::whole(&given), wanted: &head, mistakes: &[], simulation };
        referee.replay(replay).unwrap()
    };
    let f32 = Precision::plain(Dtype::F32);
    let blocks = Precision { weights: WeightForm::Blocks { bits: 4 }, ..f32 }.simulation(Rounding::Stochastic(0x77));

    // Layers in four bits, the head as it is.
    let mut run: Trace = coarse.clone().into_iter().filter(|(probe, _)| outputs(probe)).collect();
    run.insert(probe("logits"), of_head(&coarse, f32.simulation(Rounding::Exact)).remove(&probe("logits")).unwrap());
    let verdict = judged_as(run);
    assert_eq!(verdict.verdict, Judgement::Inconclusive, "{:?} {:?}", verdict.detail, verdict.unexplained);

    // Layers as they are: what is off in the head is none of theirs.
    let mut run: Trace = right.clone().into_iter().filter(|(probe, _)| outputs(probe)).collect();
    run.insert(probe("logits.raw"), of_head(&right, blocks).remove(&probe("logits.raw")).unwrap());
    let verdict = judged_as(run);
    assert_eq!(verdict.verdict, Judgement::Architectural, "{:?}", verdict.detail);
    assert_eq!(verdict.unexplained, [probe("logits.raw")]);

    // The last three tokens alone.
    let mut run: Trace = right.into_iter().filter(|(probe, _)| outputs(probe)).collect();
    for (probe, tensor) in run.iter_mut().filter(|(probe, _)| **probe != Probe::TOKEN_IDS) {
        let (own, other) = (tensor.values.to_f64(), coarse[probe].values.to_f64());
        let from = (tokens - 3) * own.len() / tokens;
        let mixed = own[..from].iter().chain(&other[from..]).map(|value| *value as f32).collect();
        tensor.values = Values::F32(mixed);
    }
    let verdict = judged_as(run);
    assert_eq!(verdict.verdict, Judgement::Architectural, "{:?}", verdict.detail);
}

/// What four bits a weight lose hides erf-GELU and more: the verdict says how many, in its own line.
#[test]
fn what_a_coarse_precision_hides_is_counted() {
    let case = Case::open("builtin");
    let kept = |probe: &Probe| matches!(probe.path(), "token_ids" | "input_layernorm" | "self_attn.q_proj" | "output");
    let run: Trace = quantised(&case, &["gelu_erf".to_string()]).into_iter().filter(|(probe, _)| kept(probe)).collect();
    let verdict = judged(&[], &case, &candidate(&case, run, Rows::All, None)).unwrap();
    assert_eq!(verdict.verdict, Judgement::Numeric, "{:?}", verdict.detail);
    assert!(verdict.detail.as_ref().is_some_and(|detail| detail.ends_with("_k")), "{:?}", verdict.detail);
    assert!(verdict.indistinguishable.iter().any(|id| id == "gelu_erf"), "{:?}", verdict.indistinguishable);
    let below = verdict.unseen.iter().filter(|unseen| unseen.why == Why::BelowTheNoise && unseen.sites.is_none());
    let below = below.map(|unseen| &unseen.id).collect::<BTreeSet<_>>().len();
    let (hidden, line) =
        (verdict.indistinguishable.len(), format!(": {below} smaller than rounding in this precision"));
    let text = text(&Verdicts::of(vec![verdict]), None);
    let first = text.lines().next().unwrap();
    assert!(first.ends_with(&format!("; {hidden} mistakes cannot be ruled out")), "{text}");
    assert!(text.lines().last().unwrap().contains(&line), "{text}");
}

/// Of layer outputs alone the precision cannot be told from a small mistake. The verdict names it, and saying it is an answer.
#[test]
fn candidate_dtype_takes_what_an_inconclusive_verdict_names() {
    let case = Case::open("mini");
    let run = quantised(&case, &[]);
    let kept = |probe: &Probe| matches!(probe.path(), "token_ids" | "output");
    let run: Trace = run.into_iter().filter(|(probe, _)| kept(probe)).collect();
    for declared in [None, Some(Dtype::F32)] {
        let mut dump = candidate(&case, run.clone(), Rows::All, declared);
        dump.strict = false;
        let verdict = judged(&[], &case, &dump).unwrap();
        assert_eq!(verdict.verdict, Judgement::Inconclusive, "{declared:?}: {:?}", verdict.detail);
        let named = verdict.detail.unwrap();
        dump.arithmetic = Arithmetic::ALL.into_iter().find(|arithmetic| arithmetic.name() == named);
        let verdict = judged(&[], &case, &dump).unwrap();
        assert_eq!((verdict.verdict, verdict.detail.as_deref()), (Judgement::Numeric, Some(named.as_str())));
        dump.arithmetic = Some(Arithmetic::Bf16Accumulation);
        let error = judged(&[], &case, &dump).unwrap_err().to_string();
        assert!(error.contains("no arithmetic of values stored in") && error.contains("q4_k"), "{error}");
    }
}
