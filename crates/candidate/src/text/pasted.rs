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
//! name that no program is known to have is taken as it stands, every word of it: the config's "names" may say what it is. Of an
//! array that is printed in part, `tensor([0.1234, -1.2000, 3.5, ..., 0.25])`, what stands before the dots is read: nobody knows
//! which the others are.

use std::collections::HashMap;

use crate::names::is_known;
use crate::text::array::{After, Array};
use crate::text::label::{Label, is_filler};
use crate::text::row::{Row, opens, split};
use crate::text::taken::{NO_TOKEN, Read};

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
    /// `None`: nobody knows which tensor it is.
    name: Option<String>,
    token: Option<i64>,
    /// The lane of the next number; `None` after dots.
    next: Option<usize>,
}

/// More words than the name of any stage has: "post attention norm".
const LONGEST_NAME: usize = 4;

/// So many words are remembered.
const MOST_WORDS: usize = 1 << 16;

impl Pasted {
    /// Adds what `line` says to `read`: numbers whose tensor is said, here or above.
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
        let row = split(line);
        if let Some(open) = self.open.take().filter(|_| !row.label.contains(char::is_alphanumeric)) {
            return self.continued(open, row, line, read);
        }
        let values = &line[row.label.len()..];
        let mut label = Label::of(row.label);
        let mut numbers = row.numbers.as_slice();
        // "sum=17.65 -8.1, -1.3": one statistic, which a blank parts from what follows.
        let stated = values.split_whitespace().next().is_some_and(|one| one.parse::<f64>().is_ok());
        let is_stated = row.label.ends_with('=') && numbers.len() > FEWEST && stated;
        if label.is_statistic && is_stated {
            (label, numbers) = (Label { is_statistic: false, ..label }, &numbers[1..]);
        }
        let name = self.name_in(&label);
        if numbers.len() < FEWEST {
            return self.heading(line, &label, name, numbers.is_empty());
        }
        if self.statistics || label.is_statistic {
            return;
        }
        // Words that are no name say that it is another tensor than the one above.
        let above = || self.name.clone().filter(|_| !label.says_more());
        let is_bare = label == Label::default();
        let token = label.token.or(self.token);
        // Of words alone, without a token or a layer, numbers are anything.
        let is_placed = token.is_some() || label.layer.is_some();
        let own = || label.own_name(self.layer).filter(|_| is_placed);
        let Some(name) = name.or_else(above).or_else(own) else { return };
        if let Some(why) = label.unplaced.or(row.is_odd()) {
            // Ids of tokens are no news.
            if is_placed {
                read.pass_over(line, why);
            }
            return;
        }
        if token.is_none() && label.has_stray_number {
            return read.pass_over(line, NO_TOKEN);
        }
        let name = self.projected(name);
        let next = Some(label.from.saturating_add(row.count)).filter(|_| row.goes_on);
        self.open = opens(values).then(|| Open { name: Some(name.clone()), token, next });
        read.add(name, token, label.from, numbers.to_vec(), line);
        if is_bare {
            // A second line of numbers alone may be anything.
            self.name = None;
        }
    }

    /// `name` as what stands below a heading that says that it is rotated.
    fn projected(&self, name: String) -> String {
        let is_projected = ["q", "k"].into_iter().any(|which| name.ends_with(&format!(".{which}")));
        if is_projected && self.rotated { format!("{name}_rope") } else { name }
    }

    /// Whether an array begins in `line`, after `label`, which names its tensor if the line above does not.
    fn begins_array(&mut self, label: &str, line: &str, read: &mut Read) -> bool {
        let label = Label::of(label);
        if label.token.is_some() || (self.token.is_some() && self.name.is_some()) {
            return false;
        }
        let name = self.name_in(&label).or_else(|| self.name.clone().filter(|_| !label.says_more()));
        match name.and_then(|name| Array::begin(name, line)) {
            Some(After::Open(array)) => self.array = Some(array),
            Some(After::Closed(rows)) => read.samples.extend(rows),
            Some(After::Other) | None => return false,
        }
        true
    }

    /// Keeps what a line without values says of those below it.
    fn heading(&mut self, line: &str, label: &Label, name: Option<String>, is_words: bool) {
        if line.contains(char::is_alphabetic) {
            self.rotated = line.to_lowercase().contains("after rope");
            // Of a tensor that it names, it may say the shape or the mean before the values.
            self.statistics = name.is_none() && label.is_statistic;
        }
        let opens = is_words && line.trim_end().ends_with(['[', '{', '(']);
        // A stage in the layer above is of its token, too.
        let token = label.token.or(self.token.filter(|_| label.layer.is_none() && self.layer.is_some()));
        if opens {
            let name = name.clone().or_else(|| label.own_name(self.layer)).map(|name| self.projected(name));
            self.open = Some(Open { name, token: token.or(self.token), next: Some(0) });
        } else if name.is_some() || (is_words && label.token.is_some()) {
            // What it does not say is open again.
            let below = label.layer.or(self.layer.filter(|_| label.layer.is_none() && token.is_some()));
            (self.name, self.token, self.layer) = (name, token, below);
        }
    }

    /// Adds the numbers of `row`, which go on with `open`.
    fn continued(&mut self, open: Open, row: Row<'_>, line: &str, read: &mut Read) {
        let Open { name, token, next } = open;
        let Row { numbers, count, goes_on, .. } = row;
        let after = next.map(|from| from.saturating_add(count)).filter(|_| goes_on);
        self.open = (!line.contains([']', '}'])).then(|| Open { name: name.clone(), token, next: after });
        if let (Some(name), Some(from), false) = (name, next, numbers.is_empty()) {
            read.add(name, token, from, numbers, line);
        }
    }

    /// The tensor that `label` speaks of: `layer 12`, a name in that layer, or the longest of its names that a program has for
    /// one. A layer with words beside it that are no name is some tensor in it, and nobody knows which: `None`.
    fn name_in(&mut self, label: &Label) -> Option<String> {
        let layer = label.layer.or(self.layer);
        let words = &label.words;
        let told = |words: &[String]| words.iter().all(|word| is_filler(word));
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
        best.or(label.layer.filter(|_| told(words)).map(|layer| format!("layer_{layer}")))
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

#[cfg(test)]
mod tests {
    use crate::text::{Passed, read};

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
        is("layer 0 after attention, token 8: 1.5 2.0 3.0", "layer 0 after attention", 8, 0..3, 1.5);
        is("[dbg] my_block-3[0, -1, 4:7] = 1.5 2.0 3.0", "my_block-3", -1, 4..7, 1.5);
        is("layer 0\nsomething token 8: 1.5 2.0 3.0", "layer 0 something", 8, 0..3, 1.5);
        // Words after the token are of the name, too.
        is("layer 0 token 6 blah blub: 1.5 2.0 3.0", "layer 0 blah blub", 6, 0..3, 1.5);
        is("layer 0 token 6 pre-attn norm: 1.5 2.0 3.0", "layer 0 pre-attn norm", 6, 0..3, 1.5);
        is("layer 0 token 6 attn_norm weight: 1.5 2.0 3.0", "layer 0 attn_norm weight", 6, 0..3, 1.5);
        is("layer 0 token 6 timing us: 1.5 2.0 3.0", "layer 0 timing us", 6, 0..3, 1.5);
        is("layer 0 token 6 head 1 q: 1.5 2.0 3.0", "layer 0 head 1 q", 6, 0..3, 1.5);
        is("layer 0 residual token 6: 1.5 2.0 3.0", "layer 0 residual", 6, 0..3, 1.5);
        is("logits token 6 top 5: 3.5 2.5 2.25", "logits top 5", 6, 0..3, 3.5);
    }

    #[test]
    fn short_words_statistics_and_shapes_stand_beside_values() {
        for line in [
            "L3 t6 1.5 2.0 3.0",
            "[L3] tok=6: 1.5 2.0 3.0",
            "layer 3 tok=6 [1.5, 2.0, 3.0]",
            "layer 3 token 6/7: 1.5 2.0 3.0",
            "layer 3 token 6 of 7: 1.5 2.0 3.0",
            "layer 3 of 4 token 6: 1.5 2.0 3.0",
            "layer 3 (t=6): 1.5 2.0 3.0",
            "blk.3 pos 6: 1.5 2.0 3.0",
            "layer 3 pos 6: sum=17.65 1.5 2.0 3.0",
            "layer 3 pos 6 mean=0.5 std=17.65 1.5 2.0 3.0",
            "layer 3 pos 6 sum=1.5 | 1.5, 2.0, 3.0 | 3.21ms",
            "layer 3 pos 6 min -7.2 max 8.1 | 1.5, 2.0, 3.0",
            "layer 3 shape=(1, 7, 60) mean 0.0132 rms 1.234 token 6: 1.5, 2.0, 3.0",
            "layer 3 pos 6: 1.5, 2.0, 3.0 (0.13 ms)",
            "layer 3 pos 6 = { 1.5, 2.0, 3.0 }",
            "| layer 3 | pos 6 | 1.5 | 2.0 | 3.0 |",
            "layer 3 token 6 Float32Array(3) [ 1.5, 2.0, 3.0 ]",
            "layer 3 token 6 Float32Array(3) [\n  1.5, 2.0, 3.0\n]\n4.5 5.5 6.5",
            "layer 3 token 6: tensor([1.5, 2.0, 3.0], grad_fn=<SliceBackward0>)",
            "layer 3 token 6: tensor([1.5, 2.0, 3.0], device='cuda:0', dtype=torch.float32)",
            "[12:33:07.123] layer 3 token 6: 1.5 2.0 3.0",
            "12:33:07 layer 3 token 6: 1.5 2.0 3.0",
            "[1234.5 ms] layer 3 token 6: 1.5 2.0 3.0",
            "2026-11-27 01:00:07,123 DEBUG engine.cpp:214 layer=3 pos=6: 1.5 2.0 3.0",
            "2026-11-27T01:00:07.123Z DEBUG [t=6] layer 3: 1.5 2.0 3.0",
            "0.00.123.456 I layer 3 token 6: 1.5 2.0 3.0",
            "I/gemma(1234): layer 3 token 6: 1.5 2.0 3.0",
            "layer 3 token 6: 1.5 2.0 3.0\n9.5 8.5 7.5",
        ] {
            is(line, "layer_3", 6, 0..3, 1.5);
        }
        is("layer 3 out (last tok) shape=(60,): 1.5 2.0 3.0", "layer_3.out", -1, 0..3, 1.5);
        is("attn_norm-0 tok=6 [1.5, 2.0, 3.0]", "attn_norm-0", 6, 0..3, 1.5);
        is("layer 0 pos 6 attn norm[60] = { 1.5, 2.0, 3.0 }", "layer_0.attn_norm", 6, 0..3, 1.5);
        is("layer 3, token 6\n  attn_norm Float32Array(3) [\n 1.5, 2.0, 3.0\n  ]", "layer_3.attn_norm", 6, 0..3, 1.5);
    }

    #[test]
    fn an_array_below_its_name_goes_on_over_lines() {
        let text = "Layer 1/4, last token\n  attn_norm Float32Array(6) [\n    1.5, 2.0, 3.0,\n    4.5, 5.5, 6.5\n  ]\n  attn_out [\n 7.5, 8.5, 9.5\n]";
        let found: Vec<(String, i64, Vec<usize>)> =
            samples(text).into_iter().map(|sample| (sample.name, sample.token, sample.lanes)).collect();
        let of = |name: &str, lanes: [usize; 3]| (name.to_string(), -1, lanes.to_vec());
        let wanted =
            [of("layer_1.attn_norm", [0, 1, 2]), of("layer_1.attn_norm", [3, 4, 5]), of("layer_1.attn_out", [0, 1, 2])];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_cannot_be_placed_is_counted() {
        let numbers = "layer 3: 1.5 2.0 3.0\nlayer 4: 1.5 2.0 3.0\nlayer 5 token 6: 1.5 2.0 3.0\nids: 2 356 366";
        let found = read(numbers);
        assert_eq!((found.samples.len(), found.without_token.len()), (1, 2));
        let passed = |line: &str, why, count| Some(Passed { line: line.to_string(), why, count });
        assert_eq!(found.passed, passed("layer 3: 1.5 2.0 3.0", "numbers of no token that is said", 2));
        for (line, why) in [
            ("layer 0 token 6 output last 3: 1.5 2.0 3.0", "the last lanes of a row"),
            ("layer 0 token 6 output [0..3]: 1.5, 2.0 ... [57..59]: 1.5 2.0 3.0", "numbers that others stand before"),
            ("layer 0 token 6 output head: 1.5 2.0 3.0 tail: 1.5 2.0 3.0", "numbers that others stand before"),
            ("layer 0 token 6: 3,35777, -1.17453, -0.08228", "whole numbers: ids, counts, or decimal commas"),
            ("layer 0 token 6: -2,48495; 0,06553; 0,17478", "whole numbers: ids, counts, or decimal commas"),
        ] {
            let found = read(line);
            assert_eq!((found.samples, found.passed), (vec![], passed(line, why, 1)), "{line}");
        }
        for text in
            ["L2 norm t6: 1.5 2.0 3.0", "layer 3 pos 6: sum=1.5, 2.0, 3.0, 4.0", "layer 3 token 6 shape: 1 7 60"]
        {
            assert!(
                samples(text).iter().all(|sample| !sample.name.starts_with("layer")),
                "{text}: {:?}",
                samples(text)
            );
        }
        // Zeros are what a buffer holds that was never written.
        is("layer 0 token 6: 0 0 0", "layer_0", 6, 0..3, 0.0);
        // A line that was cut off in its last number.
        is("layer 0 token 6: 1.5000, 2.0000, 3.0000, 4.2", "layer_0", 6, 0..3, 1.5);
        is("layer 0 token 6: 1.50, 2.00, 3.00, 4.2", "layer_0", 6, 0..4, 1.5);
    }
}
