//! The model against the oracle, which is Gemma 2 once more in plain f64 loops: norm, rotation, cap, mask, softmax and GELU, run
//! alone in f64 on inputs of any kind. And what each must be whatever it is fed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use loupe_checkpoint::RowSelection;
use loupe_oracle::{Exact, Matrix, gelu, mask, rms_norm, rope, softcap, softmax};
use loupe_runtime::{Limits, TraceJob, trace};
use loupe_spec::{Config, Dtype, Graph, HostTensor, Probe, Values};
use loupe_tests::{Case, F64, Trace, at, f64s, probe, relative_l2, spec};
use proptest::collection::vec;
use proptest::prelude::*;

/// f64 keeps 1e-16; sums of up to 100 terms lose some of it.
const SAME: f64 = 1e-13;

/// `wanted` from `given` at `positions`, on each backend that computes in f64.
fn stage(
    case: &Case,
    config: &Config,
    positions: &[usize],
    given: &[(Probe, &HostTensor)],
    wanted: Probe,
) -> [HostTensor; 2] {
    F64.map(|backend| {
        let job = TraceJob {
            graph: &Graph::of(config),
            tensors: &case.tensors,
            positions: positions.to_vec(),
            given: given.iter().map(|(probe, value)| (*probe, (*value).clone())).collect::<Trace>(),
            wanted: BTreeSet::from([wanted]),
            mistakes: &[],
            dtype: Dtype::F64,
            limits: Limits::default(),
            progress: None,
        };
        trace(&spec(backend, Dtype::F64), job).unwrap().values.remove(&wanted).unwrap()
    })
}

fn same(got: &[HostTensor; 2], oracle: Matrix<f64>) {
    for got in got {
        let error = relative_l2(got, &f64s(&got.shape, oracle.concat()));
        assert!(error <= SAME, "off by {error:e}");
    }
}

/// The rows of `x`, as wide as its last axes after the first `axes`.
fn rows(x: &HostTensor, axes: usize) -> Matrix<f64> {
    let width = x.shape[axes..].iter().product();
    x.values.to_f64().chunks(width).map(<[f64]>::to_vec).collect()
}

/// A tensor of the shape that `probe` has with 1 to 9 tokens, its values up to `largest`.
fn input(probe: Probe, largest: f64) -> impl Strategy<Value = HostTensor> {
    let graph = Case::open("builtin").graph().clone();
    (1..10usize).prop_flat_map(move |tokens| {
        let shape = graph.shape(probe, tokens);
        vec(-largest..largest, shape.iter().product::<usize>()).prop_map(move |values| f64s(&shape, values))
    })
}

/// Scores [N, T, S] for `tokens` tokens.
fn tokens_of(scores: &HostTensor) -> usize {
    scores.shape[1]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_norm_is_the_oracle_s(x in input(at(0, "input"), 50.0)) {
        let case = Case::open("builtin");
        let positions: Vec<usize> = (0..x.shape[0]).collect();
        let got = stage(&case, case.config(), &positions, &[(at(0, "input"), &x)], at(0, "input_layernorm"));
        let weight = "model.layers.0.input_layernorm.weight".parse().unwrap();
        let weight = case.tensors.read(weight, RowSelection::All, Dtype::F64).unwrap().values.to_f64();
        same(&got, rms_norm(&rows(&x, 1), &weight, case.config().rms_norm_eps));
    }

    /// Positions below 64: an angle's error is 1e-16 of the angle.
    #[test]
    fn the_rope_is_the_oracle_s(x in input(at(0, "self_attn.q_proj"), 5.0), first in 0..50usize, theta in 10.0..1e6f64) {
        let case = Case::open("builtin");
        let config = Config { rope_theta: theta, ..case.config().clone() };
        let positions: Vec<usize> = (first..first + x.shape[0]).collect();
        let got = stage(&case, &config, &positions, &[(at(0, "self_attn.q_proj"), &x)], at(0, "self_attn.q_rope"));
        same(&got, rope(&rows(&x, 1), &positions, config.head_dim, theta, &Exact));
    }

    /// A rotation turns pairs of lanes and stretches nothing; at position 0 it does not even turn.
    #[test]
    fn rope_keeps_norms_and_is_the_identity_at_0(x in input(at(0, "self_attn.k_proj"), 5.0), first in 0..8000usize) {
        let case = Case::open("builtin");
        let positions: Vec<usize> = (first..first + x.shape[0]).collect();
        let norm = |x: &HostTensor, row: usize| x.row(row).iter().map(|v| v * v).sum::<f64>().sqrt();
        let [_, heads, _] = x.shape[..] else { unreachable!("three axes") };
        let given = [(at(0, "self_attn.k_proj"), &x)];
        for got in stage(&case, case.config(), &positions, &given, at(0, "self_attn.k_rope")) {
            for row in 0..positions.len() * heads {
                let (before, after) = (norm(&x, row), norm(&got, row));
                prop_assert!((before - after).abs() <= 1e-14 * before, "{before} {after}");
            }
        }
        let zeros = vec![0; x.shape[0]];
        for got in stage(&case, case.config(), &zeros, &given, at(0, "self_attn.k_rope")) {
            prop_assert_eq!(&got, &x);
        }
    }

    #[test]
    fn the_cap_is_the_oracle_s(x in input(at(0, "self_attn.scores"), 60.0), y in input(probe("logits.raw"), 60.0), cap in 0.5..60.0f64) {
        let case = Case::open("builtin");
        let capped = Some(cap);
        let config = Config { attn_logit_softcapping: capped, final_logit_softcapping: capped, ..case.config().clone() };
        let of_scores = (at(0, "self_attn.scores"), at(0, "self_attn.scores_capped"), x);
        for (from, to, x) in [of_scores, (probe("logits.raw"), probe("logits"), y)] {
            same(&stage(&case, &config, &[0], &[(from, &x)], to), softcap(&rows(&x, 1), Some(cap), &Exact));
        }
    }

    #[test]
    fn the_cap_is_odd_bounded_and_absent_where_the_config_has_none(
        x in input(at(0, "self_attn.scores"), 1e4),
        cap in 0.5..60.0f64,
    ) {
        let [scores, wanted] = ["self_attn.scores", "self_attn.scores_capped"].map(|path| at(0, path));
        let case = Case::open("builtin");
        let config = |cap| Config { attn_logit_softcapping: cap, ..case.config().clone() };
        let negative = f64s(&x.shape, x.values.to_f64().iter().map(|x| -x).collect());
        let capped = |x: &HostTensor, cap| stage(&case, &config(cap), &[0], &[(scores, x)], wanted);
        for (positive, negative) in capped(&x, Some(cap)).iter().zip(capped(&negative, Some(cap))) {
            for ((x, up), down) in x.values.to_f64().iter().zip(positive.values.to_f64()).zip(negative.values.to_f64()) {
                prop_assert_eq!(up, -down);
                prop_assert!(up.abs() <= cap && up.abs() <= x.abs() * (1.0 + 1e-15), "{x} became {up}");
            }
        }
        for uncapped in capped(&x, None) {
            prop_assert_eq!(&uncapped, &x);
        }
    }

    #[test]
    fn the_mask_is_the_oracle_s(tokens in 1..14usize, window in 1..16usize) {
        let case = Case::open("builtin");
        let config = Config { sliding_window: window, ..case.config().clone() };
        let positions: Vec<usize> = (0..tokens).collect();
        for layer in 0..2 {
            let window = config.window(layer);
            prop_assert_eq!(window.is_some(), layer == 0);
            for got in stage(&case, &config, &positions, &[], at(layer, "self_attn.mask")) {
                let Values::U8(got) = got.values else { unreachable!("a mask is u8") };
                for (i, row) in got.chunks(tokens).enumerate() {
                    let ones = row.iter().filter(|seen| **seen == 1).count();
                    prop_assert_eq!(ones, window.map_or(i + 1, |window| window.min(i + 1)));
                    prop_assert_eq!(row[i], 1);
                }
                prop_assert_eq!(got, mask(tokens, window).concat().into_iter().map(u8::from).collect::<Vec<u8>>());
            }
        }
    }

    /// Any mask in which each token sees itself.
    #[test]
    fn the_softmax_is_the_oracle_s(x in input(at(0, "self_attn.scores_capped"), 30.0), seen in vec(any::<bool>(), 81)) {
        let case = Case::open("builtin");
        let tokens = tokens_of(&x);
        let seen: Vec<u8> = (0..tokens * tokens).map(|k| u8::from(seen[k] || k / tokens == k % tokens)).collect();
        let mask = HostTensor { shape: vec![tokens; 2], values: Values::U8(seen.clone()) };
        let positions: Vec<usize> = (0..tokens).collect();
        let given = [(at(0, "self_attn.scores_capped"), &x), (at(0, "self_attn.mask"), &mask)];
        let got = stage(&case, case.config(), &positions, &given, at(0, "self_attn.probs"));
        for got in &got {
            for row in 0..x.shape[0] * tokens {
                let (probs, seen) = (got.row(row), &seen[row % tokens * tokens..][..tokens]);
                prop_assert!((probs.iter().sum::<f64>() - 1.0).abs() <= 1e-15 * tokens as f64);
                for (p, seen) in probs.iter().zip(seen) {
                    prop_assert!(if *seen == 1 { *p > 0.0 } else { p.to_bits() == 0 }, "{p} where the mask is {seen}");
                }
            }
        }
        let seen: Vec<Vec<bool>> = seen.chunks(tokens).map(|row| row.iter().map(|seen| *seen == 1).collect()).collect();
        same(&got, softmax(&rows(&x, 2), &seen, &Exact));
    }

    #[test]
    fn the_gelu_is_the_oracle_s(x in input(at(0, "mlp.gate_proj"), 6.0)) {
        let case = Case::open("builtin");
        let got = stage(&case, case.config(), &[0], &[(at(0, "mlp.gate_proj"), &x)], at(0, "mlp.act"));
        same(&got, gelu(&rows(&x, 1), &Exact));
    }
}
