//! A long prompt is computed in parts where nobody looks, and gives the same bits as the whole.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Dtype, HostTensor, Probe, Stage, Values};
use loupe_tests::{Case, same_bits};

/// Enough that the scores of the built-in model's heads are above the size that is held whole.
const TOKENS: usize = 1600;

#[test]
fn heads_computed_apart_give_the_bits_of_the_whole() {
    let case = Case::open("builtin");
    let vocab_size = case.config().vocab_size;
    let ids = Values::I64((0..TOKENS).map(|at| (at * 7919 % vocab_size) as i64).collect());
    let given = BTreeMap::from([(Probe::TokenIds, HostTensor { shape: vec![TOKENS], values: ids })]);
    let output = Probe::Layer(0, Stage::Output);
    for mistakes in [vec![], vec!["gqa_tiled".to_string()], vec!["softcap_after_mask".to_string()]] {
        let run = |wanted: BTreeSet<Probe>| {
            let positions = (0..TOKENS).collect();
            let values = case.run_at(positions, "flex", Dtype::F32, given.clone(), wanted, &mistakes).unwrap();
            values.get(&output).unwrap().clone()
        };
        let apart = run(BTreeSet::from([output]));
        // Whoever wants to see probabilities has them held whole.
        let whole = run(BTreeSet::from([output, Probe::Layer(0, Stage::Probs)]));
        assert!(same_bits(&apart, &whole), "{mistakes:?}");
    }
}
