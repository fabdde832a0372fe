//! Whoever watches a judgement is told of every step before it runs, and of all parts of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;

use loupe_judge::{Detail, Rows, judge};
use loupe_runtime::{Referee, Watch};
use loupe_tests::judged::{Kept, candidate};
use loupe_tests::{Case, Trace, fixture, read_trace};

/// A step as it was told.
#[derive(Debug)]
struct Step {
    what: String,
    work: usize,
    /// The parts that were told.
    parts: Vec<usize>,
    /// How many runs it took, and how far the last of them was.
    runs: usize,
    taken: usize,
}

/// All that is told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Step>>);

impl Watch for Told {
    fn begins(&self, what: &str, work: usize) {
        self.0.lock().unwrap().push(Step {
            what: what.to_string(),
            work,
            parts: Vec::new(),
            runs: 0,
            taken: usize::MAX,
        });
    }

    fn part(&self, work: usize) {
        self.0.lock().unwrap().last_mut().expect("a part of nothing").parts.push(work);
    }

    fn runs(&self, taken: usize, all: usize) {
        assert!(taken <= all, "{taken} of {all}");
        let mut told = self.0.lock().unwrap();
        let step = told.last_mut().expect("a run that nobody announced");
        step.runs += usize::from(taken <= step.taken);
        step.taken = taken;
    }
}

#[test]
fn every_step_is_told_with_all_its_parts() {
    let mini = Case::open("mini");
    for (file, kept) in [
        ("mini/golden-f32", Kept::Everything),
        ("mistakes/gelu_erf", Kept::Everything),
        ("mistakes/silu", Kept::Layers),
        ("mistakes/window_everywhere", Kept::Logits),
        ("mistakes/benign-tf32", Kept::Everything),
    ] {
        let trace = read_trace(&fixture(&format!("{file}.safetensors")));
        let trace: Trace = trace.into_iter().filter(|(probe, _)| kept.keeps(*probe)).collect();
        let candidate = candidate(&mini, trace, Rows::All, None);
        let told = Told::default();
        let referee = Referee { watch: Some(&told), ..Referee::new(mini.graph(), &mini.tensors, 5) };
        judge(&candidate, &referee, Detail::Pictures).unwrap();
        let steps = told.0.into_inner().unwrap();
        for step in &steps {
            let parts: usize = step.parts.iter().sum();
            if step.parts.is_empty() {
                // What is planted is measured, and the stream behind it.
                assert!(step.work == 0 || step.runs <= 2, "{file}: {step:?} are several steps in one");
            } else {
                assert_eq!(parts, step.work, "{file}: {step:?}");
            }
        }
        let names: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        assert_eq!(names[..2], ["the reference from the token ids", "what right code loses in f32"], "{file}");
        assert!(names.contains(&"all stages with mistakes planted"), "{file}: {names:?}");
        let finds = !file.contains("golden") && !file.contains("benign");
        let planted = names.contains(&"the stages again, with what was found");
        assert!(planted == finds && names.contains(&"what a page draws of it"), "{file}: {names:?}");
    }
}
