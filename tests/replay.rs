//! Any stage, and any segment between two recorded probes, can be run alone from what was recorded: the seam on which
//! verdicts stand. Every golden probe is recomputed in f64 from the golden's own inputs.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use loupe_spec::{Dtype, Kind, Probe};
use loupe_tests::{
    CASES, Case, F64, LOWEST, Trace, WHOLE, at, cases, errors, fixture, probe, read_trace, relative_l2, worst,
};

/// One stage in f32 against the same in f64, from the same f32 inputs. transformers rounds each result once (2^-24 of
/// it) and each sum a few times; for the sums of 10 to 64 terms here, 8 times that is ample.
const ONE_STAGE: f64 = 8.0 / (1 << 24) as f64;
/// A whole layer: the bound of the goldens.
const ONE_LAYER: f64 = 2e-6;

/// `wanted` in f64 from the tensors of the golden at `given`.
fn replay(case: &Case, backend: &str, given: &[Probe], wanted: Probe, mistakes: &[String]) -> Trace {
    replay_of(case, &case.f32, (backend, Dtype::F64), given, wanted, mistakes)
}

/// `wanted` from the tensors of `golden` at `given`.
fn replay_of(
    case: &Case,
    golden: &Trace,
    (backend, dtype): (&str, Dtype),
    given: &[Probe],
    wanted: Probe,
    mistakes: &[String],
) -> Trace {
    let given = golden.iter().filter(|(probe, _)| given.contains(probe)).map(|(p, t)| (*p, t.clone())).collect();
    case.run(backend, dtype, given, BTreeSet::from([wanted]), mistakes).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_golden_probe_follows_from_the_goldens_own_inputs() {
    for (limits, mut case) in [WHOLE, LOWEST].into_iter().flat_map(|limits| cases().map(move |case| (limits, case))) {
        case.limits = limits;
        for backend in F64 {
            let mut recomputed = case.f32.clone();
            for probe in case.probes().into_iter().filter(|probe| *probe != Probe::TOKEN_IDS) {
                recomputed.append(&mut replay(&case, backend, case.graph().inputs(probe), probe, &[]));
            }
            let (probe, error) = worst(&errors(&recomputed, &case.f32));
            println!("{backend:<7} {:<11} worst {error:.1e} at {probe}", case.name);
            assert!(error <= ONE_STAGE, "{backend} {}: {probe} is off by {error:e}", case.name);
        }
    }
}

#[test]
fn a_mistake_shows_at_its_own_stage_and_nowhere_after_it() {
    let case = Case::open("mini");
    let mistakes = ["rope_interleaved@1".to_string()];
    for probe in case.probes().into_iter().filter(|probe| *probe != Probe::TOKEN_IDS) {
        let got = replay(&case, "flex", case.graph().inputs(probe), probe, &mistakes);
        let error = relative_l2(&got[&probe], &case.f32[&probe]);
        let there = probe.layer() == Some(1) && probe.kind() == Kind::Rope;
        assert_eq!(error > ONE_STAGE, there, "{probe}: {error:e}");
    }
}

/// The sharpest look at where values are rounded: each stage of the golden in bf16 (for mini, in f16 as well) has, from
/// its own inputs, the bits that transformers' has. Sums in another order, once rounded, may differ by one step.
#[test]
fn casts_sit_where_transformers_has_them() {
    for case in cases() {
        let mut goldens = vec![(Dtype::Bf16, case.bf16.clone())];
        if case.name == "mini" {
            goldens.push((Dtype::F16, read_trace(&fixture("mistakes/benign-f16.safetensors"))));
        }
        for (dtype, golden) in goldens {
            let differ = |mistakes: &[String]| -> Vec<(Probe, f64)> {
                let stages = golden.keys().filter(|probe| **probe != Probe::TOKEN_IDS);
                stages
                    .flat_map(|probe| {
                        let inputs = case.graph().inputs(*probe);
                        let got = replay_of(&case, &golden, ("flex", dtype), inputs, *probe, mistakes);
                        let pairs = got[probe].values.to_f64().into_iter().zip(golden[probe].values.to_f64());
                        pairs
                            .filter(|(a, b)| a != b)
                            .map(|(a, b)| (*probe, (a - b).abs() / b.abs()))
                            .collect::<Vec<_>>()
                    })
                    .collect()
            };
            let step = if dtype == Dtype::F16 { 1.0 / 1024.0 } else { 1.0 / 128.0 };
            let values: usize = golden.values().map(|tensor| tensor.values.len()).sum();
            let right = differ(&[]);
            println!("{dtype:<4} {:<11} {} of {values} values differ: {right:.4?}", case.name, right.len());
            assert!(right.len() * 1000 <= values, "{} {dtype}: {} of {values} values differ", case.name, right.len());
            assert!(right.iter().all(|(_, by)| *by <= step), "{} {dtype}: by more than a step", case.name);
            for policy in ["norm_cast_first", "norm_weight_low", "rope_low_precision"] {
                let wrong = differ(&[policy.to_string()]).len();
                println!("{dtype:<4} {:<11} {wrong} of {values} values differ with {policy}", case.name);
                // In bf16, the positions and frequencies of mini's five tokens are as good as any.
                let hidden = (case.name, dtype, policy) == ("mini", Dtype::Bf16, "rope_low_precision");
                assert!(hidden || wrong * 1000 > values, "{} {dtype}: {policy} does not show", case.name);
            }
        }
    }
}

#[test]
fn segments_skip_what_was_not_recorded() {
    for name in CASES {
        let case = Case::open(name);
        let last = case.config().num_hidden_layers - 1;
        let segments: [(&[Probe], Probe); 8] = [
            (&[Probe::TOKEN_IDS], at(0, "output")),
            (&[probe("embed.scaled")], at(0, "output")),
            (&[at(0, "output")], at(1, "output")),
            (&[at(1, "input")], at(1, "residual_attn")),
            (&[at(1, "residual_attn")], at(1, "output")),
            (&[at(1, "self_attn.q_proj"), at(1, "self_attn.k_proj")], at(1, "self_attn.probs")),
            (&[at(1, "self_attn.scores"), at(1, "self_attn.v_proj")], at(1, "self_attn.o_proj")),
            (&[at(last, "output")], probe("logits")),
        ];
        for (from, to) in segments {
            for backend in F64 {
                let error = relative_l2(&replay(&case, backend, from, to, &[])[&to], &case.f32[&to]);
                println!("{backend:<7} {name:<11} {error:.1e} at {to}");
                assert!(error <= ONE_LAYER, "{backend} {name}: {to} is off by {error:e}");
            }
        }
    }
}

#[test]
fn a_replay_without_a_starting_point_names_it() {
    let case = Case::open("mini");
    let output = BTreeSet::from([at(0, "output")]);
    let error = case.run("flex", Dtype::F64, Trace::new(), output, &[]).map(drop).unwrap_err().to_string();
    assert!(error.contains("token_ids") && error.contains("not given"), "{error}");
    let beyond = BTreeSet::from([at(2, "output")]);
    let error = case.run("flex", Dtype::F64, case.f32.clone(), beyond, &[]).map(drop).unwrap_err().to_string();
    assert!(error.contains("layers.2.output") && error.contains("2 layers"), "{error}");
}
