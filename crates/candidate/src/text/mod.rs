//! Numbers in text: logs of engines, and what a person pasted out of a terminal.
//!
//! Every line is held against each of the grammars; what none of them knows is a log's other business and is passed over.

mod eval_callback;
mod pasted;
mod probe;

use crate::Sample;

/// The samples in `text`, in its order.
pub fn samples(text: &str) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let (mut pasted, mut printing) = (pasted::Pasted::default(), eval_callback::Printing::default());
    for line in text.lines() {
        let line = without_colours(line);
        samples.extend(probe::sample(&line).or_else(|| printing.sample(&line)).or_else(|| pasted.sample(&line)));
    }
    samples
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
