//! Numbers in text: logs of engines, and what a person pasted out of a terminal.
//!
//! Every line is held against each of the grammars; what none of them knows is a log's other business and is passed over.

mod array;
mod eval_callback;
mod label;
mod pasted;
mod probe;
mod row;

use crate::Sample;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Read {
    /// In its order.
    pub samples: Vec<Sample>,
    /// The first line that says a tensor and values, but no token, and how many there are of these.
    pub without_token: Option<(String, usize)>,
}

impl Read {
    /// Counts `line`, of which nobody knows the token.
    fn pass_over(&mut self, line: &str) {
        self.without_token.get_or_insert_with(|| (line.trim().to_string(), 0)).1 += 1;
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
