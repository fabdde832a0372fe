//! A planted mistake is the mistake that it is named after: it changes what it should, there and onward, nothing
//! before, and what it computes is what transformers computes with the same mistake planted.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use loupe_mistakes::ALL;
use loupe_spec::{Dtype, Graph, Mistake, MistakeKind, Probe};
use loupe_tests::{Case, Trace, at, errors, f64s, fixture, probe, read_trace, relative_l2, same_bits, worst};

/// The mistakes of the model; those of the prompt give it other tokens, see tests/cli.
fn of_the_model() -> impl Iterator<Item = &'static Mistake> {
    ALL.iter().filter(|mistake| !(mistake.at)(Probe::TOKEN_IDS))
}

/// Both sides compute in f32, on different kernels; mistakes amplify what rounding there is (a cap left out most).
const SAME: f64 = 5e-6;

/// Mistakes with no trace of transformers: in f32 they change nothing (dtype policies), or are no program's.
const ALONE: &[&str] = &[
    "embed_scale_rounded",
    "norm_cast_first",
    "norm_weight_low",
    "norm_eps--none",
    "q4k_repeated_block",
    "matmul_zero_tiles",
    "rope_low_precision",
    "softcap_formula--product",
];

fn planted(case: &Case, mistake: &str) -> Trace {
    case.forward("flex", Dtype::F32, case.probes(), &[mistake.to_string()])
}

/// The probes that differ in any bit.
fn changed(a: &Trace, b: &Trace) -> BTreeSet<Probe> {
    a.iter().filter(|(probe, value)| !same_bits(value, &b[probe])).map(|(probe, _)| *probe).collect()
}

#[test]
fn rope_interleaved_changes_q_rope_and_nothing_before_it() {
    let case = Case::open("mini");
    let right = case.forward("flex", Dtype::F32, case.probes(), &[]);
    let everywhere = changed(&right, &planted(&case, "rope_interleaved"));
    assert_eq!(everywhere.first(), Some(&at(0, "self_attn.q_rope")));
    assert!(everywhere.contains(&at(0, "self_attn.k_rope")) && everywhere.contains(&probe("logits")));
    assert!(!everywhere.contains(&at(0, "self_attn.v_proj")));

    let one_layer = changed(&right, &planted(&case, "rope_interleaved@1"));
    assert_eq!(one_layer.first(), Some(&at(1, "self_attn.q_rope")));
    assert!(one_layer.contains(&probe("logits")));

    let one_probe = changed(&right, &planted(&case, "rope_interleaved@layers.1.self_attn.k_rope"));
    assert_eq!(one_probe.first(), Some(&at(1, "self_attn.k_rope")));
}

/// Whether `probe` is computed from a probe at which `mistake` is, or is one.
fn downstream(mistake: &Mistake, probe: Probe, graph: &Graph) -> bool {
    (mistake.at)(probe) || graph.inputs(probe).iter().any(|input| downstream(mistake, *input, graph))
}

#[test]
fn each_mistake_changes_only_what_is_computed_from_its_own_probes() {
    // Two checkpoints: the rows of `mini` are shorter than a Q4_K block, `builtin` has no square projection.
    let cases = ["builtin", "mini"].map(Case::open);
    let right = cases.each_ref().map(|case| case.forward("flex", Dtype::F32, case.probes(), &[]));
    for mistake in of_the_model() {
        let mut at_its_own = false;
        for (case, right) in cases.iter().zip(&right) {
            let changed = changed(right, &planted(case, &mistake.name()));
            for probe in &changed {
                assert!(downstream(mistake, *probe, case.graph()), "{} changes {probe}", mistake.name());
            }
            at_its_own |= changed.iter().any(|probe| (mistake.at)(*probe));
        }
        assert!(at_its_own || mistake.kind == MistakeKind::DtypePolicy, "{} changes nothing", mistake.name());
    }
}

#[test]
fn each_mistake_is_the_one_planted_in_transformers() {
    let case = Case::open("mini");
    let mut wrong = Vec::new();
    for mistake in of_the_model().filter(|mistake| !ALONE.contains(&mistake.name().as_str())) {
        let name = mistake.name();
        let theirs = read_trace(&fixture(&format!("mistakes/{name}.safetensors")));
        let mut ours = planted(&case, &name);
        ours.retain(|probe, _| theirs.contains_key(probe));
        for (probe, value) in &theirs {
            if matches!(value.values.dtype(), Dtype::U8 | Dtype::I64) && !same_bits(value, &ours[probe]) {
                wrong.push(format!("{name}: {probe} differs"));
            }
        }
        let floats: Trace =
            theirs.iter().filter(|(_, v)| v.values.dtype() == Dtype::F32).map(|(p, v)| (*p, v.clone())).collect();
        let errors = errors(&ours, &floats);
        let (probe, error) = worst(&errors);
        println!("{name:<28} worst {error:.1e} at {probe}");
        wrong.extend(
            errors
                .iter()
                .find(|(_, e)| **e > SAME)
                .map(|(p, e)| format!("{name}: {p} is off by {e:.1e} first, worst {error:.1e} at {probe}")),
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What leaks is 1e-19 beside probabilities of 1, so it is measured alone.
#[test]
fn softcap_after_mask_leaks_what_it_leaks_in_transformers() {
    let case = Case::open("mini");
    let theirs = read_trace(&fixture("mistakes/softcap_after_mask.safetensors"));
    let ours = planted(&case, "softcap_after_mask");
    for layer in 0..2 {
        let [probs, mask] = ["self_attn.probs", "self_attn.mask"].map(|path| at(layer, path));
        let hidden = |trace: &Trace| {
            let (probs, mask) = (&trace[&probs].values, &trace[&mask].values);
            let leaked =
                (0..probs.len()).filter(|at| mask.get(at % mask.len()) == 0.0).map(|at| probs.get(at)).collect();
            f64s(&[probs.len() - probs.len() / mask.len() * mask.to_f64().iter().sum::<f64>() as usize], leaked)
        };
        let error = relative_l2(&hidden(&ours), &hidden(&theirs));
        println!("leak in layer {layer}: {error:.1e}");
        assert!(hidden(&ours).values.to_f64().iter().all(|leak| *leak > 0.0) && error <= SAME, "{error:e}");
    }
}

#[test]
fn every_trace_of_transformers_has_its_mistake_and_the_list_of_those_without_is_complete() {
    let case = Case::open("mini");
    let files: BTreeSet<String> = fixture("mistakes")
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_string())
        .filter(|name| !name.starts_with("benign-"))
        .collect();
    let ours: BTreeSet<String> =
        of_the_model().map(Mistake::name).filter(|name| !ALONE.contains(&name.as_str())).collect();
    assert_eq!(files, ours);
    // The page says of each where it first shows: that is so.
    let page = std::fs::read_to_string(fixture("README.md")).unwrap();
    let (_, table) = page.split_once("| file | what | first_stage |").unwrap();
    let rows = table.lines().skip(2).map_while(|row| row.strip_prefix("| `")?.split_once('`'));
    let said: BTreeMap<String, bool> = rows
        .filter(|(name, _)| !name.starts_with("benign-"))
        .map(|(name, rest)| {
            let theirs = read_trace(&fixture(&format!("mistakes/{name}.safetensors")));
            let first = theirs.iter().find(|(probe, value)| !same_bits(value, &case.f32[probe]));
            (name.to_string(), first.is_some_and(|(first, _)| rest.contains(&format!("| `{first}` |"))))
        })
        .collect();
    let wrong: Vec<&String> = said.iter().filter(|(_, is_so)| !**is_so).map(|(name, _)| name).collect();
    assert!(wrong.is_empty(), "README.md says another first stage of {wrong:?}");
    assert_eq!(said.into_keys().collect::<BTreeSet<_>>(), ours);
}

/// What belongs to other inputs, and what is done to the inputs, is made in either order.
#[test]
fn two_mistakes_at_one_value_are_both_made_in_either_order() {
    let case = Case::open("builtin");
    let pairs = [
        ["norm_mean_subtracted", "post_norm_after_residual"],
        ["norm_mean_subtracted", "norm_without_one"],
        ["rope_offset", "rope_interleaved"],
        ["rope_low_precision", "rope_interleaved"],
        ["qkv_order", "layer_off_by_one"],
        ["window_parity", "window_off_by_one"],
        ["scale_missing", "gqa_tiled"],
    ];
    for pair in pairs {
        let run = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            case.forward("flex", Dtype::F32, case.probes(), &names)
        };
        let [one, other] = pair;
        let both = run(&[one, other]);
        assert!(changed(&both, &run(&[other, one])).is_empty(), "{pair:?}");
        for alone in pair {
            assert!(!changed(&both, &run(&[alone])).is_empty(), "{pair:?} is {alone}");
        }
        // Said twice, each is made once.
        assert!(changed(&both, &run(&[one, other, one])).is_empty(), "{pair:?}");
    }
}
