//! What 2B needs and small models do not: matrices in several row chunks, values in parts by heads and by tokens, weights
//! read ahead. With limits so low that every test model needs all three, every bit on a CPU is what it is without.
//! (goldens.rs and replay.rs run with lower ones still, within their own bounds: vectors have kernels that sum in another
//! order, and on a GPU cubek chooses a kernel by a product's shape.)
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use loupe_mistakes::ALL;
use loupe_runtime::Limits;
use loupe_spec::{Dtype, HostTensor, Kind, Probe, Values};
use loupe_tests::{Case, F64, Trace, WHOLE, at, cases, offered, same_bits};

/// Tokens of a prompt, of which each part gets half: a product of two rows with so many is above the 256 numbers up to
/// which gemm, under flex, takes a kernel that sums in another order.
const TOKENS: usize = 300;

/// Two rows of the widest matrix a chunk, half of the tokens of the MLP and one head of the attention a part, and a
/// thread that reads ahead.
fn low(case: &Case, dtype: Dtype) -> Limits {
    let (config, graph) = (case.config(), case.graph());
    let matrices: Vec<Vec<usize>> =
        graph.weights().map(|weight| graph.weight_shape(weight)).filter(|shape| shape.len() == 2).collect();
    let chunk_bytes = 2 * dtype.size() * matrices.iter().map(|shape| shape[1]).max().unwrap();
    let whole_bytes = TOKENS / 2 * dtype.size() * config.intermediate_size;
    for shape in matrices {
        assert!(shape[0] * shape[1] * dtype.size() > chunk_bytes, "{}: {shape:?} is one chunk", case.name);
    }
    assert!(TOKENS * TOKENS * dtype.size() > whole_bytes, "{}: scores are held whole", case.name);
    Limits { chunk_bytes, whole_bytes, ahead_from_elements: 0, memory_bytes: usize::MAX }
}

fn prompt(case: &Case) -> Trace {
    let vocab_size = case.config().vocab_size;
    let ids = Values::I64((0..TOKENS).map(|at| (at * 7919 % vocab_size) as i64).collect());
    BTreeMap::from([(Probe::TOKEN_IDS, HostTensor { shape: vec![TOKENS], values: ids })])
}

/// The ends of the layers: what nobody asks to see is computed in parts.
fn ends(case: &Case) -> BTreeSet<Probe> {
    case.probes().into_iter().filter(|probe| matches!(probe.path(), "output" | "logits")).collect()
}

/// Runs `wanted` from `given` with the limits that nothing reaches, and with low ones: every bit is the same.
#[track_caller]
fn agree(
    case: &mut Case,
    (backend, dtype): (&str, Dtype),
    given: &Trace,
    wanted: &BTreeSet<Probe>,
    mistakes: &[String],
) {
    let run = |case: &Case| {
        let positions = (0..TOKENS).collect();
        case.run_at(positions, backend, dtype, given.clone(), wanted.clone(), mistakes).unwrap()
    };
    case.limits = WHOLE;
    let want = run(case);
    case.limits = low(case, dtype);
    let got = run(case);
    let title = format!("{backend} {dtype} {} {mistakes:?}", case.name);
    assert!(got.keys().eq(want.keys()), "{title}");
    let differs = want.iter().find(|(probe, value)| !same_bits(&got[probe], value));
    assert!(differs.is_none(), "{title}: {} differs", differs.unwrap().0);
}

#[test]
fn low_limits_change_no_bit_of_a_run() {
    for run in offered().filter(|(backend, _)| F64.contains(backend)) {
        for mut case in cases() {
            let (given, wanted) = (prompt(&case), ends(&case));
            agree(&mut case, run, &given, &wanted, &[]);
        }
    }
}

/// A mistake is made in the whole matrix and the whole product, never in a chunk of them. Of the two checkpoints one has
/// rows long enough for every mistake, and one a square projection.
#[test]
fn low_limits_change_no_bit_of_a_mistake() {
    for name in ["builtin", "mini"] {
        let mut case = Case::open(name);
        let (given, wanted) = (prompt(&case), ends(&case));
        for mistake in ALL.iter().filter(|mistake| !(mistake.at)(Probe::TOKEN_IDS)) {
            agree(&mut case, ("flex", Dtype::F32), &given, &wanted, &[mistake.name()]);
        }
    }
}

/// Each stage from its own inputs, and each layer from its own, as the judge recomputes them.
#[test]
fn low_limits_change_no_bit_of_a_replay() {
    for backend in F64 {
        for mut case in cases() {
            let everything = case.run_at((0..TOKENS).collect(), backend, Dtype::F64, prompt(&case), case.probes(), &[]);
            let everything = everything.unwrap();
            for probe in case.probes().into_iter().filter(|probe| *probe != Probe::TOKEN_IDS) {
                let from = match (probe.layer(), probe.path()) {
                    (Some(layer), "output") => vec![at(layer, "input")],
                    _ => case.graph().inputs(probe).to_vec(),
                };
                let given = from.into_iter().map(|probe| (probe, everything[&probe].clone())).collect();
                agree(&mut case, (backend, Dtype::F64), &given, &BTreeSet::from([probe]), &[]);
            }
        }
    }
}

/// What a run takes is known before it takes it: so many bytes less, and it is refused.
#[test]
fn a_run_that_would_not_fit_is_refused_before_it_starts() {
    let mut case = Case::open("builtin");
    let given = prompt(&case);
    let run = |case: &Case, wanted: BTreeSet<Probe>| {
        case.run_at((0..TOKENS).collect(), "flex", Dtype::F32, given.clone(), wanted, &[])
    };
    // Kept: every value that someone wants to see.
    let graph = case.graph().clone();
    let bytes = |probe: &Probe| {
        let size = match probe.kind() {
            Kind::TokenIds => 8,
            Kind::Mask => 1,
            _ => 4,
        };
        graph.shape(*probe, TOKENS).iter().product::<usize>() * size
    };
    let (all, ends) = (case.probes(), ends(&case));
    let [all_bytes, ends_bytes] = [&all, &ends].map(|probes| probes.iter().map(bytes).sum::<usize>());
    case.limits.memory_bytes = all_bytes;
    let error = run(&case, all.clone()).unwrap_err().to_string();
    for part in ["300 tokens would take about", "are free (layers.", "alone takes", "a shorter prompt"] {
        assert!(error.contains(part), "{error}");
    }
    // Beside what is kept: the scores that softmax reads, its result and two of its size besides, and what is far smaller
    // (mask, stream, k and v). Six of that size are ample.
    let scores = bytes(&at(0, "self_attn.probs"));
    case.limits.memory_bytes = all_bytes + 6 * scores;
    run(&case, all).unwrap();
    case.limits.memory_bytes = ends_bytes + 6 * scores;
    run(&case, ends).unwrap();
}
