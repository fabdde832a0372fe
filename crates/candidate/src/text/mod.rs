//! Numbers in text: logs of engines, and what a person pasted out of a terminal.
//!
//! Every line is held against each of the grammars; what none of them knows is a log's other business and is passed over.

mod array;
mod eval_callback;
mod label;
mod pasted;
mod probe;
mod row;

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
const NO_TOKEN: &str = "numbers of no token that is said";

impl Read {
    /// The samples of no token that is said, where all may be of one: no tensor is there twice.
    pub fn of_one_token(&mut self) -> Vec<Sample> {
        let mut rows = BTreeSet::new();
        let is_once = self.without_token.iter().all(|sample| rows.insert((&sample.name, sample.lanes.first())));
        if is_once { std::mem::take(&mut self.without_token) } else { Vec::new() }
    }

    /// Adds `numbers` of `line`, of the lanes from `from` on.
    fn add(&mut self, name: String, token: Option<i64>, from: usize, numbers: Vec<Printed>, line: &str) {
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
    fn pass_over(&mut self, line: &str, why: &'static str) {
        let first = || Passed { line: line.trim().to_string(), why, count: 0 };
        self.passed.get_or_insert_with(first).count += 1;
    }
}

/// Reads `text`.
pub fn read(text: &str) -> Read {
    let mut read = Read::default();
    let (mut pasted, mut printing) = (pasted::Pasted::default(), eval_callback::Printing::default());
    for line in text.lines() {
        let line = without_colours(line);
        match probe::sample(&line).or_else(|| printing.sample(&line)) {
            Some(sample) => read.samples.push(sample),
            None => pasted.read(&line, &mut read),
        }
    }
    read
}

/// `line` without the escapes by which terminals set colours.
fn without_colours(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.strip_prefix('[').and_then(|rest| rest.split_once('m')).map_or(part, |(_, rest)| rest);
        plain.push_str(rest);
    }
    plain
}
