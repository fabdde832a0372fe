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
//! A line without numbers may say of those below it which layer or token they are of, or be the name of an array (`array.rs`). A
//! name that no program is known to have is taken as it stands: the config's "names" may say what it is. Of an array that is printed in part,
//! `tensor([0.1234, -1.2000, 3.5, ..., 0.25])`, what stands before the dots is read: nobody knows which the others are.

use std::collections::HashMap;

use crate::Sample;
use crate::names::is_known;
use crate::sample::{Printed, lanes_from};
use crate::text::Read;
use crate::text::array::{After, Array};
use crate::text::label::{
    after_word, index, is_statistic, own_name, spelled_out, token, without_remarks, without_statistics, words,
};
use crate::text::row::{Row, opens, split};

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
    /// A whole tensor that is being printed.
    array: Option<Array>,
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
    /// Adds what `line` says to `read`: numbers whose tensor and token are said, here or above.
    pub fn read(&mut self, line: &str, read: &mut Read) {
        match self.array.take().map(|array| array.line(line)) {
            Some(After::Open(array)) => return self.array = Some(array),
            Some(After::Closed(rows)) => return read.samples.extend(rows),
            // What is left of it is no array of its own.
            Some(After::Other) => self.name = None,
            None => {}
        }
        if let Some((label, _)) = line.split_once("[[")
            && self.begins_array(label, line, read)
        {
            return;
        }
        let Row { label, numbers, goes_on } = split(line);
        if let Some(open) = self.open.take().filter(|_| !label.contains(char::is_alphanumeric)) {
            return read.samples.extend(self.continued(open, numbers, goes_on, line));
        }
        let values = &line[label.len()..];
        // Numbers that are parted by blanks alone, after one that a statistic is.
        let stated = label.ends_with('=') && numbers.len() > FEWEST && !values.contains([',', '[', '(']);
        let (label, numbers) = match without_statistics(label) {
            rest if stated && rest.len() < label.len() => (rest, numbers[1..].to_vec()),
            _ => (label, numbers),
        };
        let spelled = spelled_out(label);
        let name = self.name_in(&spelled);
        let token = token(&spelled);
        if numbers.len() < FEWEST {
            return self.heading(&spelled, name, token, numbers.is_empty());
        }
        if self.statistics || is_statistic(&spelled) {
            return;
        }
        // Words that are no name say that it is another tensor than the one above.
        let above = || self.name.clone().filter(|_| !says_more(&spelled));
        let Some(token) = token.or(self.token) else {
            // Whole numbers are ids or counts.
            if name.or_else(above).is_some() && numbers.iter().any(|number| number.unit < 1.0) {
                read.pass_over(line);
            }
            return;
        };
        let Some(name) = name.or_else(above).or_else(|| own_name(&spelled, self.layer)) else { return };
        let projected = ["q", "k"].into_iter().find(|which| name.ends_with(&format!(".{which}")));
        let name = match projected {
            Some(_) if self.rotated => format!("{name}_rope"),
            _ => name,
        };
        let from = index(&spelled).map_or(0, |(_, from)| from);
        let next = Some(from.saturating_add(numbers.len())).filter(|_| goes_on);
        self.open = opens(values).then(|| Open { name: name.clone(), token, next });
        let lanes = lanes_from(from, numbers.len());
        read.samples.push(Sample { name, token, lanes, numbers, ..Sample::default() });
    }

    /// Whether an array begins in `line`, after `label`, which names its tensor if the line above does not.
    fn begins_array(&mut self, label: &str, line: &str, read: &mut Read) -> bool {
        if token(label).is_some() || (self.token.is_some() && self.name.is_some()) {
            return false;
        }
        let name = self.name_in(label).or_else(|| self.name.clone().filter(|_| !says_more(label)));
        match name.and_then(|name| Array::begin(name, line)) {
            Some(After::Open(array)) => self.array = Some(array),
            Some(After::Closed(rows)) => read.samples.extend(rows),
            Some(After::Other) | None => return false,
        }
        true
    }

    /// Keeps what a line without values says of those below it.
    fn heading(&mut self, label: &str, name: Option<String>, token: Option<i64>, is_words: bool) {
        if label.chars().any(char::is_alphabetic) {
            self.rotated = label.to_lowercase().contains("after rope");
            // Of a tensor that it names, it may say the shape or the mean before the values.
            self.statistics = name.is_none() && is_statistic(label);
        }
        // What it does not say is open again.
        if name.is_some() || (is_words && token.is_some()) {
            (self.name, self.token) = (name, token);
            let lower = label.to_lowercase();
            let layer = after_word(&lower, "layer").or_else(|| after_word(&lower, "block"));
            self.layer = layer.and_then(|layer| usize::try_from(layer).ok());
        }
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

/// Whether `label` has words that are no name and more than fill.
fn says_more(label: &str) -> bool {
    words(&without_remarks(label))
        .filter(|word| word.chars().any(char::is_alphabetic))
        .any(|word| !IS_NO_NAME.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use crate::text::read;

    fn samples(text: &str) -> Vec<crate::Sample> {
        read(text).samples
    }

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
            "last token, first 3\nmax abs per token\nembed 1.0 2.0 3.0",
        ] {
            assert!(samples(text).is_empty(), "{text}: {:?}", samples(text));
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_taken_as_it_stands() {
        is("layer 0 after attention, token 8: 1.0 2.0 3.0", "layer 0 after attention", 8, 0..3, 1.0);
        is("[dbg] my_block-3[0, -1, 4:7] = 1.0 2.0 3.0", "my_block-3", -1, 4..7, 1.0);
        is("layer 0\nsomething token 8: 1.0 2.0 3.0", "layer 0 something", 8, 0..3, 1.0);
    }

    #[test]
    fn short_words_statistics_and_shapes_stand_beside_values() {
        is("L3 t6 1.0 2.0 3.0", "layer_3", 6, 0..3, 1.0);
        is("[L3] tok=6: 1.0 2.0 3.0", "layer_3", 6, 0..3, 1.0);
        is("layer 3 pos 6: sum=17.65 1.0 2.0 3.0", "layer_3", 6, 0..3, 1.0);
        is("layer 3 pos 6 mean=0.5 std=17.65 1.0 2.0 3.0", "layer_3", 6, 0..3, 1.0);
        is("layer 3 out (last tok) shape=(60,): 1.0 2.0 3.0", "layer_3.layer_out", -1, 0..3, 1.0);
        for text in
            ["L2 norm t6: 1.0 2.0 3.0", "layer 3 pos 6: sum=1.0, 2.0, 3.0, 4.0", "layer 3 token 6 shape: 1 7 60"]
        {
            assert!(
                samples(text).iter().all(|sample| !sample.name.starts_with("layer")),
                "{text}: {:?}",
                samples(text)
            );
        }
    }

    #[test]
    fn what_says_no_token_is_counted() {
        let found = read("layer 3: 1.0 2.0 3.0\nlayer 4: 1.0 2.0 3.0\nlayer 5 token 6: 1.0 2.0 3.0\nids: 2 356 366");
        assert_eq!(found.samples.len(), 1);
        assert_eq!(found.without_token, Some(("layer 3: 1.0 2.0 3.0".to_string(), 2)));
    }
}
