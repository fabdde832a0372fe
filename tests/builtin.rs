//! `export` writes the built-in model as a Hugging Face folder that holds the same model: same tensors, same tokenizer,
//! same bits out. (goldens.rs holds the built-in model itself against transformers, which read such a folder.)
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use loupe_checkpoint::{Checkpoint, RowSelection};
use loupe_spec::{Dtype, Probe};
use loupe_tests::{Case, probe, same_bits};

#[test]
fn an_exported_model_is_the_same_model() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("tiny");
    let inside = Case::open("builtin");
    inside.checkpoint.export(&folder, None).unwrap();

    let checkpoint = Checkpoint::open(folder.to_str().unwrap(), None).unwrap();
    let tensors = checkpoint.tensors().unwrap();
    assert_eq!(checkpoint.config(), inside.config());
    assert_eq!(tensors.id(), inside.tensors.id());
    assert!(tensors.notes().is_empty(), "{:?}", tensors.notes());
    for weight in inside.graph().weights() {
        let [a, b] = [&tensors, &inside.tensors].map(|t| t.read(weight, RowSelection::All, Dtype::F64).unwrap());
        assert!(same_bits(&a, &b), "{weight}");
    }
    for prompt in ["The color of the sky is", "  öäü 🦀\n"] {
        assert_eq!(checkpoint.encode(prompt).unwrap(), inside.checkpoint.encode(prompt).unwrap(), "{prompt:?}");
    }
    let outside = Case { checkpoint, tensors, ..Case::open("builtin") };
    let [a, b] =
        [&outside, &inside].map(|case| case.forward("flex", Dtype::F32, BTreeSet::from([probe("logits")]), &[]));
    assert!(same_bits(&a[&probe("logits")], &b[&probe("logits")]));
}

#[test]
fn the_prompt_of_the_golden_is_the_default_prompt() {
    let case = Case::open("builtin");
    let ids: Vec<f64> =
        case.checkpoint.encode("The color of the sky is").unwrap().iter().map(|id| *id as f64).collect();
    assert_eq!(case.f32[&Probe::TOKEN_IDS].values.to_f64(), ids);
}
