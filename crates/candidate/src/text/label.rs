//! What the words before the numbers of a line say.

use crate::text::words::{LAYER, TOKEN, is_separator};

/// A line's words, without what they say of layer, token and lanes.
#[derive(Debug, Default, PartialEq)]
pub struct Label {
    /// The layer that is said.
    pub layer: Option<usize>,
    /// The token that is said.
    pub token: Option<i64>,
    /// The lane of the first number.
    pub from: usize,
    /// What is left, in its order; an index into a list of tensors stands with the list.
    pub words: Vec<String>,
    /// The numbers are sizes of a whole tensor and no values of it.
    pub is_statistic: bool,
    /// A whole number that nothing says what it is: it may be the token.
    pub has_stray_number: bool,
    /// Why nobody knows which lanes the numbers are.
    pub unplaced: Option<&'static str>,
}

/// What numbers of a whole tensor are called that are no values of it.
const STATISTICS: [&str; 8] = ["max", "mean", "min", "std", "sum", "rms", "maxabs", "norm2"];
/// Lists of tensors, whose index is a part of the name.
const LISTS: [&str; 2] = ["hidden_states", "attentions"];
/// Words that say nothing of which tensor it is, where a layer's number does.
const IS_NO_NAME: [&str; 26] = [
    "layer", "block", "blk", "token", "tok", "pos", "position", "last", "first", "values", "value", "val", "vals",
    "output", "out", "hidden", "state", "states", "tensor", "f32", "f16", "bf16", "the", "of", "at", "bos",
];

impl Label {
    /// Of the words in `text`.
    pub fn of(text: &str) -> Label {
        let mut label = Label::default();
        let plain = label.without_brackets(text);
        let words: Vec<&str> = pieces(without_prefix(&plain)).collect();
        let numbered = |word: &str, names: &[&str]| -> Option<usize> {
            let lower = word.to_lowercase();
            names
                .iter()
                .find_map(|name| lower.strip_prefix(name)?.trim_start_matches(['.', '_', '#', '-']).parse().ok())
        };
        let mut at = 0;
        while at < words.len() {
            let (word, lower) = (words[at], words[at].to_lowercase());
            let next = words.get(at + 1).copied().unwrap_or_default();
            let number = integer(next);
            let said = |names: &[&str]| names.contains(&lower.as_str());
            at += 1;
            if said(&LAYER) && number.is_some() {
                label.layer = label.layer.or(number.and_then(|number| usize::try_from(number).ok()));
                at += 1 + of_how_many(&words[at..]);
            } else if said(&TOKEN) && number.is_some() {
                label.token = label.token.or(number);
                at += 1 + of_how_many(&words[at..]);
            } else if lower == "last" && ["token", "tok"].contains(&next.to_lowercase().as_str()) {
                label.token = label.token.or(Some(-1));
                at += 1;
            } else if lower == "last" && number.is_some() {
                label.unplaced = Some("the last lanes of a row");
                at += 1;
            } else if (lower == "first" && number.is_some())
                || (lower == "shape" && next.starts_with(|c: char| c.is_ascii_digit()))
            {
                at += 1;
            } else if said(&STATISTICS) {
                // One that is said in full stands beside the values.
                let is_said = next.parse::<f64>().is_ok();
                label.is_statistic |= !is_said;
                at += usize::from(is_said);
            } else if lower == "shape" {
                label.is_statistic = true;
            } else if let Some(layer) = numbered(word, &LAYER) {
                label.layer = label.layer.or(Some(layer));
            } else if let Some(layer) = word.strip_prefix('L').and_then(|number| number.parse().ok())
                && !next.eq_ignore_ascii_case("norm")
            {
                label.layer = label.layer.or(Some(layer));
            } else if let Some(token) = numbered(word, &TOKEN) {
                label.token = label.token.or(i64::try_from(token).ok());
            } else if word.parse::<f64>().is_ok() {
                label.number(word);
            } else {
                label.words.push(word.to_string());
            }
        }
        label
    }

    /// A number among the words.
    fn number(&mut self, word: &str) {
        match (self.words.last_mut(), integer(word)) {
            (Some(list), Some(index)) if LISTS.contains(&list.as_str()) => *list = format!("{list}[{index}]"),
            // "head 0": a part of the name.
            (words, Some(_)) => {
                self.has_stray_number = true;
                if words.is_some() {
                    self.words.push(word.to_string());
                }
            }
            (_, None) => self.unplaced = Some("numbers that others stand before"),
        }
    }

    /// `text` without what stands in brackets: an index that follows a name at once is taken, and of the rest what says a layer
    /// or a token stays.
    fn without_brackets(&mut self, text: &str) -> String {
        // "[0][-1][:8]" is one index.
        let text = text.replace("][", ",");
        let (mut plain, mut rest) = (String::new(), text.as_str());
        while let Some(open) = rest.find(['[', '(']) {
            let close = if rest[open..].starts_with('[') { ']' } else { ')' };
            plain.push_str(&rest[..open]);
            let Some((inside, after)) = rest[open + 1..].split_once(close) else {
                // What is still open are the values.
                return plain;
            };
            if close == ']' && plain.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                self.index(inside, &mut plain);
            } else if says_place(inside) {
                plain = format!("{plain} {inside} ");
            } else if let Some(before) = plain.trim_end_matches([' ', '=', ':']).strip_suffix("shape") {
                plain = before.to_string();
            }
            rest = after;
        }
        plain + rest
    }

    /// `0, -1, 16:24` after a name: the token before the slice, and where the slice begins; without a slice the last of several.
    /// Of a list of tensors the first is a part of the name.
    fn index(&mut self, inside: &str, name: &mut String) {
        let mut parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let is_list = LISTS.iter().any(|list| name.to_lowercase().ends_with(list));
        if let Some(index) = parts.first().copied().filter(|first| is_list && integer(first).is_some()) {
            *name = format!("{name}[{index}]");
            parts.remove(0);
        }
        match parts.iter().position(|part| part.contains(':')) {
            Some(slice) => {
                self.from = parts[slice].split(':').next().and_then(|from| from.trim().parse().ok()).unwrap_or(0);
                let before = slice.checked_sub(1).and_then(|at| parts[at].parse().ok());
                self.token = before.or(self.token);
            }
            // One alone may be a length.
            None if parts.len() > 1 => self.token = parts.last().and_then(|last| last.parse().ok()).or(self.token),
            None => {}
        }
    }

    /// Whether words are left that are of a name.
    pub fn says_more(&self) -> bool {
        self.words.iter().any(|word| !is_filler(word))
    }

    /// What it calls a tensor that no program is known to have, in `layer` where it says none itself.
    pub fn own_name(&self, layer: Option<usize>) -> Option<String> {
        let first = self.words.iter().position(|word| !is_filler(word))?;
        let last = self.words.iter().rposition(|word| !is_filler(word))?;
        let name = self.words[first..=last].join(" ");
        let is_name = name.len() <= LONGEST_OWN_NAME && name.chars().any(char::is_alphabetic);
        is_name.then(|| match self.layer.or(layer) {
            Some(layer) => format!("layer {layer} {name}"),
            None => name,
        })
    }
}

/// More letters than a name has that a person gives a tensor.
const LONGEST_OWN_NAME: usize = 60;

/// How many words of `words` say how many there are: "6 of 7".
fn of_how_many(words: &[&str]) -> usize {
    match words {
        [_, "of", count, ..] if is_whole(count) => 2,
        _ => 0,
    }
}

/// Whether `word` says nothing of which tensor it is.
pub fn is_filler(word: &str) -> bool {
    let lower = word.to_lowercase();
    // "Float32Array"
    IS_NO_NAME.contains(&lower.as_str()) || lower.ends_with("array")
}

/// The number of a layer or a token: "6", "-1", "6/7".
fn integer(word: &str) -> Option<i64> {
    let number = word.split_once('/').map_or(word, |(number, count)| if is_whole(count) { number } else { word });
    number.parse().ok()
}

fn is_whole(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether what stands in brackets says a layer or a token: "token 6", "last tok", "L3".
pub fn says_place(inside: &str) -> bool {
    let is_place = |word: &str| LAYER.contains(&word) || TOKEN.contains(&word) || word == "last";
    let short = |word: &str| word.strip_prefix(['L', 't']).is_some_and(is_whole);
    pieces(inside).next().is_some_and(|first| is_place(&first.to_lowercase()) || short(first))
}

/// The words of `text`.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| is_separator(c) || matches!(c, '=' | ':'))
        .map(|word| word.trim_end_matches(['-', '*', '#', '.']).trim_start_matches(['*', '#', '.']))
        .map(|word| {
            word.strip_prefix('-').filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(word)
        })
        .filter(|word| !word.is_empty())
}

/// `text` without what a logger puts before every line: times, levels, names of files and modules.
fn without_prefix(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some((word, after)) = rest.split_once(char::is_whitespace) {
        let is_time = word.chars().any(|c| c.is_ascii_digit())
            && word.contains([':', '.', '-'])
            && word.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | ',' | '-' | 'T' | 'Z' | '+'));
        let is_level = ["TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "I", "D", "W", "E"].contains(&word);
        let says_layer = LAYER.iter().any(|name| after.to_lowercase().contains(name));
        // "engine.cpp:214", "I/gemma:"
        let is_tag = word.contains(':')
            && says_layer
            && !LAYER.iter().chain(&TOKEN).any(|name| word.to_lowercase().starts_with(name));
        if !(is_time || is_level || is_tag) {
            break;
        }
        rest = after.trim_start();
    }
    rest
}
