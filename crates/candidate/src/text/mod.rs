//! Numbers in text: logs of engines, and what a person pasted out of a terminal.
//!
//! Every line is held against each of the grammars; what none of them knows is a log's other business and is passed over.

mod array;
mod eval_callback;
mod label;
mod pasted;
mod probe;
mod row;
mod taken;
mod words;

pub use taken::{Passed, Read};

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
