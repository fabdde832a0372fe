//! Dumps of some tokens only: the row of a decode step, the tail of a prefill.
#![allow(clippy::unwrap_used)]

use loupe_judge::{Judgement, Rows, Start, Verdict};
use loupe_runtime::Referee;
use loupe_spec::{Dtype, Given, HostTensor, Mistake, MistakeKind, Probe, Replay, Replayer, Simulation, Values};
use loupe_tests::judged::{Kept, budget_used, ids, verdict_of_rows};
use loupe_tests::{Case, Trace, at, cases, errors, f64s, worst};

/// What `kept` keeps of the rows of `tokens`.
fn rows_of(trace: &Trace, tokens: &[usize], kept: Kept) -> Trace {
    let kept = trace.iter().filter(|(probe, _)| kept.keeps(**probe));
    kept.map(|(probe, tensor)| (*probe, rows_of_one(*probe, tensor, tokens))).collect()
}

/// `tensor` with the rows of `tokens` alone; token ids stay whole.
fn rows_of_one(probe: Probe, tensor: &HostTensor, tokens: &[usize]) -> HostTensor {
    if probe == Probe::TOKEN_IDS {
        return tensor.clone();
    }
    let axis = probe.token_axis();
    let (all, width) = (tensor.shape[axis], tensor.shape[axis + 1..].iter().product::<usize>());
    let outer: usize = tensor.shape[..axis].iter().product();
    let row = |o: usize, at: &usize| (o * all + at) * width..(o * all + at + 1) * width;
    let kept = (0..outer).flat_map(|o| tokens.iter().flat_map(move |at| row(o, at)));
    let values = Values::F64(kept.map(|index| tensor.values.get(index)).collect());
    let mut shape = tensor.shape.clone();
    shape[axis] = tokens.len();
    HostTensor { shape, values }
}

fn judged(case: &Case, run: &Trace, tokens: &[usize], kept: Kept, declared: Option<Dtype>) -> Verdict {
    verdict_of_rows(case, rows_of(run, tokens, kept), Rows::Positions(tokens.to_vec()), declared)
}

fn last(case: &Case) -> usize {
    case.f32[&Probe::TOKEN_IDS].values.len() - 1
}

/// The last row alone, of a run with each mistake planted at `place`: how many are named, and how many said not to be seen.
fn named_from_the_last_row(place: &str) -> (usize, usize) {
    let case = Case::open("builtin");
    let run_with = |mistakes: &[String]| case.forward("flex", Dtype::F32, case.probes(), mistakes);
    let (right, row) = (run_with(&[]), [last(&case)]);
    let (mut named, mut not_seen) = (0, 0);
    let of_the_model =
        |mistake: &&Mistake| mistake.kind == MistakeKind::Architectural && !(mistake.at)(Probe::TOKEN_IDS);
    for mistake in loupe_mistakes::ALL.iter().filter(of_the_model) {
        let in_a_layer = mistake.touches(|probe| probe.layer().is_some());
        if !place.is_empty() && !in_a_layer {
            continue;
        }
        let name = format!("{}{place}", mistake.name());
        let run = run_with(std::slice::from_ref(&name));
        // A layer without a window has none to lose.
        if run == right {
            continue;
        }
        for kept in [Kept::Everything, Kept::Layers] {
            let verdict = judged(&case, &run, &row, kept, Some(Dtype::F32));
            assert_eq!(verdict.coverage.tokens, 1);
            if verdict.mistakes.is_empty() {
                assert_eq!(verdict.verdict, Judgement::Numeric, "{name} {kept:?}: {:?}", verdict.detail);
                assert!(verdict.indistinguishable.iter().any(|id| id == mistake.id), "{name} {kept:?} is not declared");
                not_seen += 1;
                continue;
            }
            let [found] = &verdict.mistakes[..] else { unreachable!("{name} {kept:?}: {:?}", verdict.detail) };
            // Nothing beside it: no stage unnamed, no number fitted.
            assert_eq!(verdict.detail.as_ref(), Some(&found.id), "{name} {kept:?}");
            let fits = found.id == mistake.id || found.alternatives.iter().any(|other| other == mistake.id);
            assert!(fits, "{name} {kept:?}: {} {:?}", found.id, found.alternatives);
            named += 1;
        }
    }
    println!("{named} named, {not_seen} declared not to be seen");
    (named, not_seen)
}

/// The rows before it were computed with the same mistake, and attention takes them in.
#[test]
fn the_last_row_shows_each_mistake_or_says_that_it_cannot() {
    let (named, not_seen) = named_from_the_last_row("");
    // An offset of all angles leaves scores as they are; another epsilon may hide. All other mistakes show.
    assert!(named >= 70 && not_seen <= 4, "{named} named, {not_seen} not");
}

#[test]
fn the_last_row_shows_each_mistake_of_one_layer_or_says_that_it_cannot() {
    let (named, not_seen) = named_from_the_last_row("@1");
    // In one layer as everywhere.
    assert!(named >= 60 && not_seen <= 4, "{named} named, {not_seen} not");
}

/// At one norm of one layer it is another mistake than at that norm of every layer: the rows before the last tell which.
#[test]
fn the_last_row_shows_a_mistake_at_one_norm() {
    let case = Case::open("builtin");
    for (id, norm) in [
        ("post_norm_missing", "post_feedforward_layernorm"),
        ("post_norm_missing", "post_attention_layernorm"),
        ("pre_norm_missing", "input_layernorm"),
        ("norm_without_one", "pre_feedforward_layernorm"),
    ] {
        let site = at(2, norm);
        let run = case.forward("flex", Dtype::F32, case.probes(), &[format!("{id}@{site}")]);
        let verdict = judged(&case, &run, &[last(&case)], Kept::Layers, Some(Dtype::F32));
        assert_eq!(ids(&verdict), [id], "{id} at {site}: {:?}", verdict.detail);
        assert_eq!(verdict.mistakes[0].sites, [site], "{id}");
        assert_eq!(verdict.first_divergence.unwrap().from, Start::RecordedRows, "{id}");
    }
}

/// Rows of a right run, put in their places, change nothing; those of one token in another's place would.
#[test]
fn a_replay_takes_recorded_rows_and_computes_the_others() {
    let case = Case::open("builtin");
    let right = case.forward("flex", Dtype::F64, case.probes(), &[]);
    let tokens = last(&case) + 1;
    let referee = Referee::new(case.graph(), &case.tensors, tokens);
    for rows in [vec![tokens - 1], vec![0, 2], vec![1, 2, 4]] {
        let mut recorded = rows_of(&right, &rows, Kept::Everything);
        // A decode step knows no keys after its own.
        let seen = rows[rows.len() - 1] + 1;
        for tensor in recorded.iter_mut().filter(|(probe, _)| probe.token_axis() == 1).map(|(_, tensor)| tensor) {
            let all = tensor.shape[2];
            let kept = (0..tensor.values.len()).filter(|at| at % all < seen).map(|at| tensor.values.get(at));
            *tensor = f64s(&[tensor.shape[0], tensor.shape[1], seen], kept.collect());
        }
        let computed = |rows: &[usize]| {
            let given = Given { trace: &recorded, rows };
            let simulation = Simulation::exact();
            referee.replay(Replay { given, wanted: &case.probes(), mistakes: &[], simulation }).unwrap()
        };
        let (probe, error) = worst(&errors(&computed(&rows), &right));
        assert!(error <= 1e-14, "{rows:?}: {probe} is off by {error:e}");
        let elsewhere: Vec<usize> = rows.iter().map(|row| (row + 1) % tokens).collect();
        if elsewhere.is_sorted() && seen < tokens {
            assert!(worst(&errors(&computed(&elsewhere), &right)).1 > 1e-3, "{rows:?} as {elsewhere:?}");
        }
    }
}

/// Rows that were not recorded bring their own rounding along.
#[test]
fn right_rows_are_right() {
    let (mut most, mut dumps) = (0.0f64, 0);
    for case in cases() {
        let run = case.forward("flex", Dtype::F16, case.probes(), &[]);
        let last = last(&case);
        for (run, dtype) in [(&case.f32, Dtype::F32), (&case.bf16, Dtype::Bf16), (&run, Dtype::F16)] {
            for tokens in [vec![last], vec![0], vec![1, 2, last - 1]] {
                for kept in Kept::ALL {
                    let verdict = judged(&case, run, &tokens, kept, Some(dtype));
                    let what = format!("{} {dtype} {tokens:?} {kept:?}", case.name);
                    assert_eq!(verdict.exit_code, 0, "{what}: {:?} {:?}", verdict.detail, verdict.first_divergence);
                    assert!(verdict.mistakes.is_empty(), "{what}: {:?}", ids(&verdict));
                    most = most.max(budget_used(&verdict));
                    dumps += 1;
                }
            }
        }
    }
    println!("{dumps} dumps, at most {:.0} % of their budget", most * 100.0);
    assert!(dumps >= 100);
}
