//! What was taken of a text, and what was passed over.

use std::collections::BTreeSet;

use crate::Sample;
use crate::sample::{Printed, lanes_from};

/// What a text holds.
#[derive(Debug, Default)]
pub struct Read {
    /// In its order.
    pub samples: Vec<Sample>,
    /// Those of which no line says the token.
    pub without_token: Vec<Sample>,
    /// What was passed over though it names a tensor.
    pub passed: Option<Passed>,
}

/// Lines that name a tensor and cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Passed {
    /// The first of them.
    pub line: String,
    /// Why it cannot.
    pub why: &'static str,
    /// How many there are.
    pub count: usize,
}

/// Why a line is not read: its token.
pub const NO_TOKEN: &str = "numbers of no token that is said";

impl Read {
    /// The samples of no token that is said, where all may be of one: no tensor is there twice.
    pub fn of_one_token(&mut self) -> Vec<Sample> {
        let mut rows = BTreeSet::new();
        let is_once = self.without_token.iter().all(|sample| rows.insert((&sample.name, sample.lanes.first())));
        if is_once { std::mem::take(&mut self.without_token) } else { Vec::new() }
    }

    /// Adds `numbers` of `line`, of the lanes from `from` on.
    pub fn add(&mut self, name: String, token: Option<i64>, from: usize, numbers: Vec<Printed>, line: &str) {
        let lanes = lanes_from(from, numbers.len());
        let sample = Sample { name, token: token.unwrap_or(-1), lanes, numbers, ..Sample::default() };
        match token {
            Some(_) => self.samples.push(sample),
            None => {
                self.pass_over(line, NO_TOKEN);
                self.without_token.push(Sample { is_of_some_token: true, ..sample });
            }
        }
    }

    /// Counts `line`, which holds what `why` says.
    pub fn pass_over(&mut self, line: &str, why: &'static str) {
        let first = || Passed { line: line.trim().to_string(), why, count: 0 };
        self.passed.get_or_insert_with(first).count += 1;
    }
}
