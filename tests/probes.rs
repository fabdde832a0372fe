//! Looking changes nothing: with every probe attached, the logits have the bits that they have with none, and the same
//! run gives the same bits again. On every backend that is here, in every dtype that it offers.

use std::collections::BTreeSet;

use loupe_tests::{cases, offered, present, probe, same_bits};

#[test]
fn probes_and_repetition_change_no_bit() {
    for (backend, dtype) in offered().filter(|(backend, dtype)| present(backend, *dtype)) {
        for case in cases() {
            let title = format!("{backend} {dtype} {}", case.name);
            let alone = case.forward(backend, dtype, BTreeSet::from([probe("logits")]), &[]);
            let [first, again] = [0, 1].map(|_| case.forward(backend, dtype, case.probes(), &[]));
            assert!(same_bits(&alone[&probe("logits")], &first[&probe("logits")]), "{title}: probes change the logits");
            for (probe, value) in &first {
                assert!(same_bits(value, &again[probe]), "{title}: {probe} differs from run to run");
            }
        }
    }
}
