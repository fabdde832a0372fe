//! Lines that end in numbers, as scripts print them:
//!
//! ```text
//! layer 12, token -1, first 8: 0.1234, -1.2000, …
//! hidden_states[13][0, -1, :8] = tensor([0.1234, -1.2000])
//!
//! layer 0
//! token 6, first 8          -8.1470    -1.3362
//! ```
//!
//! A line without numbers may say of those below it which layer or token they are of. Of an array that is printed in part,
//! `tensor([0.1234, -1.2000, 3.5, ..., 0.25])`, what stands before the dots is read: nobody knows which the others are.

use std::collections::HashMap;

use crate::Sample;
use crate::names::is_known;
use crate::sample::{Printed, lanes_from};

/// Fewer numbers than this are a time, a count or a version.
const FEWEST: usize = 3;

/// What the lines so far have said.
#[derive(Debug, Default)]
pub(super) struct Pasted {
    name: Option<String>,
    token: Option<i64>,
    layer: Option<usize>,
    /// The heading says that queries and keys below it are rotated.
    rotated: bool,
    /// The heading says that what is below it are sizes.
    statistics: bool,
    /// An array whose bracket is still open: numpy breaks a long one over several lines.
    open: Option<Open>,
    /// Whether a word is a tensor's name: a log says the same words over and over.
    known: HashMap<String, bool>,
}

/// The array that goes on in the next line.
#[derive(Debug)]
struct Open {
    name: String,
    token: i64,
    /// The lane of the next number; `None` after dots.
    next: Option<usize>,
}

/// More words than the name of any stage has: "post attention norm".
const LONGEST_NAME: usize = 4;
/// Words that say nothing of which tensor it is, where a layer's number does.
const IS_NO_NAME: [&str; 26] = [
    "layer", "block", "token", "tok", "pos", "position", "last", "first", "values", "value", "val", "vals", "output",
    "out", "hidden", "state", "states", "tensor", "residual", "stream", "the", "of", "at", "bos", "dims", "shape",
];

/// So many words are remembered.
const MOST_WORDS: usize = 1 << 16;

impl Pasted {
    /// The sample of `line`, where it ends in numbers whose tensor and token are said, here or above.
    pub fn sample(&mut self, line: &str) -> Option<Sample> {
        let Row { label, numbers, goes_on } = split(line);
        if let Some(open) = self.open.take().filter(|_| !label.contains(char::is_alphanumeric)) {
            return self.continued(open, numbers, goes_on, line);
        }
        let name = self.name_in(label);
        let token = token(label);
        if numbers.len() < FEWEST {
            if label.chars().any(char::is_alphabetic) {
                self.rotated = label.to_lowercase().contains("after rope");
                // Of a tensor that it names, it may say the shape or the mean before the values.
                self.statistics = name.is_none() && is_statistic(label);
            }
            // A heading: what it does not say is open again.
            if name.is_some() || (numbers.is_empty() && token.is_some()) {
                (self.name, self.token) = (name, token);
                let lower = label.to_lowercase();
                let layer = after_word(&lower, "layer").or_else(|| after_word(&lower, "block"));
                self.layer = layer.and_then(|layer| usize::try_from(layer).ok());
            }
            return None;
        }
        if self.statistics || is_statistic(label) {
            return None;
        }
        // Words that are no name say that it is another tensor than the one above.
        let more = words(&without_remarks(label))
            .filter(|word| word.chars().any(char::is_alphabetic))
            .any(|word| !IS_NO_NAME.contains(&word.to_lowercase().as_str()));
        let name = name.or_else(|| self.name.clone().filter(|_| !more))?;
        let token = token.or(self.token)?;
        let projected = ["q", "k"].into_iter().find(|which| name.ends_with(&format!(".{which}")));
        let name = match projected {
            Some(_) if self.rotated => format!("{name}_rope"),
            _ => name,
        };
        let from = index(label).map_or(0, |(_, from)| from);
        let next = Some(from.saturating_add(numbers.len())).filter(|_| goes_on);
        self.open = opens(&line[label.len()..]).then(|| Open { name: name.clone(), token, next });
        Some(Sample { name, token, lanes: lanes_from(from, numbers.len()), numbers, ..Sample::default() })
    }

    /// The numbers of `line`, which go on with `open`.
    fn continued(&mut self, open: Open, numbers: Vec<Printed>, goes_on: bool, line: &str) -> Option<Sample> {
        let Open { name, token, next } = open;
        let after = next.map(|from| from.saturating_add(numbers.len())).filter(|_| goes_on);
        self.open = (!line.contains(']')).then(|| Open { name: name.clone(), token, next: after });
        let from = next.filter(|_| !numbers.is_empty())?;
        Some(Sample { name, token, lanes: lanes_from(from, numbers.len()), numbers, ..Sample::default() })
    }

    /// The tensor that `label` speaks of: `layer 12`, a name in that layer, or the longest of its names that a program has for
    /// one. A layer with words beside it that are no name is some tensor in it, and nobody knows which: `None`.
    fn name_in(&mut self, label: &str) -> Option<String> {
        let label = without_remarks(label);
        let lower = label.to_lowercase();
        if lower.trim_start().starts_with("final norm") {
            return Some("final_norm".to_string());
        }
        let said = after_word(&lower, "layer").or_else(|| after_word(&lower, "block"));
        let layer = said.and_then(|layer| usize::try_from(layer).ok()).or(self.layer);
        let words: Vec<String> = label
            .split([' ', ',', '\t', '='])
            .map(|word| match word.split_once("][") {
                // An index into a list of tensors is a part of its name.
                Some((list, _)) => format!("{list}]"),
                None => word.split('[').next().unwrap_or_default().trim_matches([':', '-', '*']).to_string(),
            })
            .filter(|word| word.chars().any(char::is_alphabetic))
            .collect();
        let told = |words: &[String]| words.iter().all(|word| IS_NO_NAME.contains(&word.to_lowercase().as_str()));
        let mut best: Option<String> = None;
        for from in 0..words.len() {
            for to in from + 1..=(from + LONGEST_NAME).min(words.len()) {
                // What is said beside a name must not be of a name, too.
                if !told(&words[..from]) || !told(&words[to..]) {
                    continue;
                }
                let word = words[from..to].join("_");
                let in_layer = layer.map(|layer| format!("layer_{layer}.{word}"));
                let known = in_layer.into_iter().chain([word]).find(|name| self.is_known(name));
                // The longest is the most exact.
                best = best.into_iter().chain(known).max_by_key(String::len);
            }
        }
        best.or(layer.filter(|_| told(&words) && said.is_some()).map(|layer| format!("layer_{layer}")))
    }

    fn is_known(&mut self, name: &str) -> bool {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let known = is_known(name);
        if self.known.len() < MOST_WORDS {
            self.known.insert(name.to_string(), known);
        }
        known
    }
}

/// A line that may end in numbers.
struct Row<'a> {
    /// What stands before them.
    label: &'a str,
    numbers: Vec<Printed>,
    /// No dots follow: the next line's are the next ones.
    goes_on: bool,
}

/// How left-out numbers are printed.
const DOTS: [&str; 2] = ["...", "…"];

/// `line` in its parts. Of an array with dots in it the numbers are those before the first dots.
fn split(line: &str) -> Row<'_> {
    let (mut label, mut numbers) = numbers_at_end(line);
    let mut goes_on = true;
    while let Some(before) = DOTS.iter().find_map(|dots| label.trim_end_matches(is_separator).strip_suffix(dots)) {
        (label, numbers) = numbers_at_end(before);
        goes_on = false;
    }
    Row { label, numbers, goes_on }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '[' | ']' | '(' | ')' | ';')
}

/// Whether a bracket is still open at the end of `array`.
fn opens(array: &str) -> bool {
    array.matches('[').count() > array.matches(']').count()
}

/// What stands before the numbers at the end of `line`, and the numbers.
fn numbers_at_end(line: &str) -> (&str, Vec<Printed>) {
    let mut end = line.trim_end_matches(is_separator).len();
    let mut numbers = Vec::new();
    loop {
        let rest = &line[..end];
        let before = rest.char_indices().rev().find(|(_, c)| is_separator(*c) || matches!(c, '=' | ':'));
        let start = before.map_or(0, |(at, c)| at + c.len_utf8());
        let Some(number) = Printed::parse(&rest[start..]).filter(|number| number.value.is_finite()) else { break };
        // "hidden_states[1][0, -1, :8] [0.1": an index is none of the numbers.
        if is_index(line, start, end) {
            break;
        }
        // "first 8: 0.1": after a colon or an equals sign, the numbers have begun.
        let begins = rest[..start].ends_with(['=', ':']);
        numbers.push(number);
        end = rest[..start].trim_end_matches(is_separator).len();
        if begins {
            break;
        }
        // "first 8 0.1 0.2", "token 6 0.1": a count or a token is none of the numbers; "last token 0.1" is a token already.
        let mut before = line[..end].rsplit(|c: char| !c.is_alphanumeric());
        let word = before.next().unwrap_or_default();
        let is_count = rest[start..].parse::<i64>().is_ok() && before.next() != Some("last");
        if is_count && matches!(word, "first" | "token" | "layer") {
            numbers.pop();
            end = rest.len();
            break;
        }
    }
    numbers.reverse();
    (&line[..end], numbers)
}

/// Whether the integer `line[start..end]` stands in brackets that follow a name, or other brackets, at once.
fn is_index(line: &str, start: usize, end: usize) -> bool {
    let is_whole = line[start..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut depth = 0_usize;
    for (at, c) in line[..start].char_indices().rev() {
        match c {
            ']' => depth += 1,
            '[' if depth == 0 => {
                let before = line[..at].chars().next_back();
                return is_whole && before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ']'));
            }
            '[' => depth -= 1,
            _ => {}
        }
    }
    false
}

/// `label` without what stands in parentheses.
fn without_remarks(label: &str) -> String {
    let mut depth = 0_usize;
    let keep = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    label.chars().filter(keep).collect()
}

/// Whether the numbers are sizes of a whole tensor and no values of it.
fn is_statistic(label: &str) -> bool {
    let label = label.to_lowercase();
    ["max", "mean", "min", "std", "sum", "shape", "rms"].iter().any(|word| words(&label).any(|found| found == *word))
}

fn words(label: &str) -> impl Iterator<Item = &str> {
    label.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The token that `label` speaks of.
fn token(label: &str) -> Option<i64> {
    let lower = label.to_lowercase();
    if lower.contains("last token") {
        return Some(-1);
    }
    if let Some(after) = ["token", "pos", "position"].iter().find_map(|word| after_word(&lower, word)) {
        return Some(after);
    }
    index(label)?.0
}

/// The index before the slice in `[0, -1, 16:24]` or `[0][-1][:8]`, if there is one, and where the slice begins; without a slice
/// the last of several.
fn index(label: &str) -> Option<(Option<i64>, usize)> {
    let label = label.replace("][", ",");
    let (_, inside) = label.split_once('[')?;
    let parts: Vec<&str> = inside.split(']').next()?.split(',').map(str::trim).collect();
    let Some(slice) = parts.iter().position(|part| part.contains(':')) else {
        // One alone is an index into a list.
        let last = parts.last().filter(|_| parts.len() > 1)?;
        return Some((Some(last.parse().ok()?), 0));
    };
    let before = slice.checked_sub(1).and_then(|at| parts[at].parse().ok());
    Some((before, parts[slice].split(':').next()?.trim().parse().unwrap_or(0)))
}

/// The integer after `word`, with or without `=` or `:` between.
fn after_word(label: &str, word: &str) -> Option<i64> {
    label.match_indices(word).find_map(|(at, _)| {
        let rest = label[at + word.len()..].trim_start_matches([' ', '=', ':', '#']);
        let end = rest.char_indices().find(|(at, c)| !(c.is_ascii_digit() || (*at == 0 && *c == '-')));
        rest[..end.map_or(rest.len(), |(at, _)| at)].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use crate::text::samples;

    #[track_caller]
    fn is(text: &str, name: &str, token: i64, lanes: std::ops::Range<usize>, first: f64) {
        let found = samples(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let said = (found[0].name.as_str(), found[0].token, found[0].lanes.clone(), found[0].numbers[0].value);
        assert_eq!(said, (name, token, lanes.collect(), first), "{text}");
    }

    #[test]
    fn what_scripts_print_is_read() {
        is("layer 12, token -1, first 4: 0.1234, -1.2000, 3.5, 4", "layer_12", -1, 0..4, 0.1234);
        is("layer 0\ntoken 6, first 8   -8.1470  -1.3362   0.5", "layer_0", 6, 0..3, -8.147);
        is("layer 0\ntoken 0 (BOS), first 8   -8.1470  -1.3362   0.5", "layer_0", 0, 0..3, -8.147);
        is("last token, first 5\nembed   -7.0803 0.1891 0.6052", "embed", -1, 0..3, -7.0803);
        is("hidden_states[13][0, -1, :8] = tensor([0.25, 1.5, 2e-3])", "hidden_states[13]", -1, 0..3, 0.25);
        is("hidden_states[13][0, -1, :8] [0.25, 1.5, 2e-3]", "hidden_states[13]", -1, 0..3, 0.25);
        is("hidden_states[13][0, -1] [0.25, 1.5, 2e-3]", "hidden_states[13]", -1, 0..3, 0.25);
        is("logits[0, -1, 16:19] 0.25 1.5 2.0", "logits", -1, 16..19, 0.25);
        is("logits[0, -1, 16:19]: [0.25, 1.5, 2.0]", "logits", -1, 16..19, 0.25);
        is("model.layers.3.mlp.act_fn token=2: 0.25 1.5 2.0", "model.layers.3.mlp.act_fn", 2, 0..3, 0.25);
        is("layer 3 q_proj token 2: 0.25 1.5 2.0", "layer_3.q_proj", 2, 0..3, 0.25);
        // An ideographic space is white space of three bytes.
        is("layer 12, token -1:\u{3000}0.25\u{3000}1.5\u{a0}2.0", "layer_12", -1, 0..3, 0.25);
        is("layer 0 mlp out token 8: 0.25 1.5 2.0", "layer_0.mlp_out", 8, 0..3, 0.25);
        is("=== Layer 0 ===\n  attn out (token 8): first 8 values 0.25, 1.5, 2.0", "layer_0.attn_out", 8, 0..3, 0.25);
        is("layer 0\n  output, token 8: 0.25 1.5 2.0", "layer_0.output", 8, 0..3, 0.25);
        is("layer 0\nq token 8: 0.25 1.5 2.0", "layer_0.q", 8, 0..3, 0.25);
        is("layer 3 q_proj shape (7, 64)\ntoken 2: 0.25 1.5 2.0", "layer_3.q_proj", 2, 0..3, 0.25);
        is("layer 1\nafter RoPE, first 8 of head 0\nq, last token  0.25 1.5 2.0", "layer_1.q_rope", -1, 0..3, 0.25);
        is("layer 1\nlayer input, last token  0.25 1.5 2.0", "layer_1.input", -1, 0..3, 0.25);
        is("final norm of layer 3\ntoken 6, first 8   -0.5 1.5 2.0", "final_norm", 6, 0..3, -0.5);
    }

    #[test]
    fn of_an_array_printed_in_part_what_stands_before_the_dots_is_read() {
        for array in [
            "tensor([0.25, 1.5, 2.0,  ..., -0.1, 0.8, -1.4])",
            "[0.25 1.5 2.0 ... -0.1 0.8 -1.4]",
            "0.25, 1.5, 2.0, …",
            "0.25 1.5 2.0 ...",
            "[0.25 1.5 2.0 ... -0.1 0.8\n -1.4 3.1 9.5]\n 1.0 2.0 3.0",
            "[0.25 1.5 2.0 ... -0.1 0.8 ... 7.0 8.0 9.0]",
        ] {
            is(&format!("layer 0, token -1: {array}"), "layer_0", -1, 0..3, 0.25);
        }
        is("layer 0 ... token -1: 0.25 1.5 2.0", "layer_0", -1, 0..3, 0.25);
        // Too few before the dots, and those after them are of nobody knows where.
        for text in ["layer 0, token -1: [0.25, 1.5, ..., 2.0, 3.0, 4.0]", "layer 0, token 3 ... 2.0 3.0 4.0"] {
            assert!(samples(text).is_empty(), "{text}: {:?}", samples(text));
        }
    }

    #[test]
    fn an_array_over_several_lines_is_one() {
        let text = "layer 0, token 6: [0.25 1.5 2.0\n 3.0 4.0\n 5.0]\n 6.0 7.0 8.0\nlayer 1, token 6: 1.0 2.0 3.0";
        let lanes: Vec<Vec<usize>> = samples(text).into_iter().map(|sample| sample.lanes).collect();
        assert_eq!(lanes, [vec![0, 1, 2], vec![3, 4], vec![5], vec![0, 1, 2]]);
        let cut = samples("layer 0, token 6: [0.25 1.5 2.0\n 3.0 ... 4.0\n 5.0 6.0 7.0]");
        assert_eq!(cut.iter().map(|sample| sample.lanes.clone()).collect::<Vec<_>>(), [vec![0, 1, 2], vec![3]]);
    }

    #[test]
    fn what_else_a_log_says_is_passed_over() {
        for text in [
            "layer 3, token 6, max abs 9.1 2.2 3.3",
            "loaded 26 layers in 1.5 s",
            "token ids 2 356 366 361",
            "layer 3, token 6",
            "1.0 2.0 3.0",
            "layer 3: 1.0 2.0",
            "layer 3, no token said: 1.0 2.0 3.0",
            "layer 0 after attention, token 8: 1.0 2.0 3.0",
            "layer 0 gate activations token 8: 1.0 2.0 3.0",
            "layer 0\nsomething token 8: 1.0 2.0 3.0",
            "last token, first 3\nmax abs per token\nembed 1.0 2.0 3.0",
        ] {
            assert!(samples(text).is_empty(), "{text}: {:?}", samples(text));
        }
    }
}
