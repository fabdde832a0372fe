//! Whole tensors as numpy and torch print them, under a name and without a token:
//!
//! ```text
//! layers.0.output
//! [[-3.62  0.38 -5.44 ... -6.22  3.52  3.22]
//!  [ 6.94  2.45  1.93 ...  3.77  1.54 -1.35]
//!  ...
//!  [ 1.62  2.75  0.10 ... -3.97  3.46  2.07]]
//! ```
//!
//! Rows count from the first token on, after dots to the last. Of a row what stands before its dots is read. An array with an
//! axis of heads, of more than one prompt or of anything but numbers is left alone.

use crate::Sample;
use crate::sample::{Printed, lanes_from};
use crate::text::row::DOTS;
use crate::text::words::is_separator;

/// The array that is being read.
#[derive(Debug)]
pub struct Array {
    name: String,
    /// Brackets that are open.
    depth: usize,
    /// How many are in a row; known from the first number on.
    deepest: Option<usize>,
    rows: Vec<Vec<Printed>>,
    /// The row that is open: its numbers before dots, and whether there were some.
    row: Option<(Vec<Printed>, bool)>,
    /// How many rows stand before the dots between rows.
    before_dots: Option<usize>,
    /// Lists of rows that are closed.
    lists: usize,
}

/// What a line did to an array.
pub enum After {
    /// It goes on.
    Open(Array),
    /// It is closed: its rows.
    Closed(Vec<Sample>),
    /// It is none that is read here.
    Other,
}

impl Array {
    /// The array of tensor `name` that begins with `text`; `None`: it begins none.
    pub fn begin(name: String, text: &str) -> Option<After> {
        let text = &text[text.find("[[")?..];
        let array = Array { name, depth: 0, deepest: None, rows: vec![], row: None, before_dots: None, lists: 0 };
        Some(array.line(text))
    }

    /// Goes on with a line.
    pub fn line(mut self, text: &str) -> After {
        for word in pieces(text) {
            let goes_on = match word {
                "[" => self.opened(),
                "]" => self.closed(),
                dots if DOTS.contains(&dots) => self.dots(),
                number => self.number(number),
            };
            if !goes_on {
                return After::Other;
            }
            if self.depth == 0 {
                // "dtype=float32)" may follow.
                return After::Closed(self.samples());
            }
        }
        After::Open(self)
    }

    fn opened(&mut self) -> bool {
        self.depth += 1;
        if self.deepest == Some(self.depth) {
            self.row = Some((Vec::new(), false));
        }
        self.deepest.is_none_or(|deepest| self.depth <= deepest && self.lists == 0)
    }

    fn closed(&mut self) -> bool {
        match self.row.take() {
            Some((numbers, _)) => self.rows.push(numbers),
            None if self.deepest == Some(self.depth + 1) => self.lists += 1,
            None => {}
        }
        self.depth -= 1;
        self.deepest.is_some()
    }

    fn dots(&mut self) -> bool {
        match &mut self.row {
            Some((_, cut)) => *cut = true,
            None if self.deepest == Some(self.depth + 1) && self.before_dots.is_none() => {
                self.before_dots = Some(self.rows.len());
            }
            None => return false,
        }
        true
    }

    fn number(&mut self, word: &str) -> bool {
        let Some(number) = Printed::parse(word) else { return false };
        if self.deepest.is_none() {
            (self.deepest, self.row) = (Some(self.depth), Some((Vec::new(), false)));
        }
        match &mut self.row {
            Some((numbers, cut)) => {
                // What is no number tells of nothing after it.
                *cut |= !number.value.is_finite();
                if !*cut {
                    numbers.push(number);
                }
                true
            }
            None => false,
        }
    }

    fn samples(self) -> Vec<Sample> {
        let count = self.rows.len();
        // Towards the end engines go on with the last token alone.
        let from_the_end = if count == 1 { 0 } else { self.before_dots.unwrap_or(count) };
        let rows = self.before_dots.is_none().then_some(count);
        let sample = |(at, numbers): (usize, Vec<Printed>)| {
            let token = if at < from_the_end { at as i64 } else { at as i64 - count as i64 };
            let lanes = lanes_from(0, numbers.len());
            Sample { name: self.name.clone(), token, lanes, numbers, rows, ..Sample::default() }
        };
        self.rows.into_iter().enumerate().filter(|(_, numbers)| !numbers.is_empty()).map(sample).collect()
    }
}

/// Brackets, and what stands between them and separators.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['[', ']']).flat_map(|part| {
        let (inner, bracket) = match part.chars().next_back() {
            Some('[' | ']') => part.split_at(part.len() - 1),
            _ => (part, ""),
        };
        inner.split(is_separator).chain([bracket]).filter(|piece| !piece.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use crate::text::read;

    /// The token, the lanes and the first number of each row.
    fn rows(text: &str) -> Vec<(i64, usize, f64)> {
        let found = read(text).samples;
        assert!(found.iter().all(|sample| sample.name == "layers.0.output"), "{found:?}");
        found.iter().map(|sample| (sample.token, sample.lanes.len(), sample.numbers[0].value)).collect()
    }

    #[test]
    fn rows_are_tokens_and_after_dots_count_from_the_end() {
        let numpy = "layers.0.output\n[[ 1.5 2.5 3.5 ... 4.5\n   5.5]\n [-1.5 2. 3.]\n ...\n [6.5 7.5 8.5 ... 9.5]]\n";
        assert_eq!(rows(numpy), [(0, 3, 1.5), (1, 3, -1.5), (-1, 3, 6.5)]);
        let torch = "layers.0.output:\ntensor([[[ 1.5000e+00,  2.5, 3.5,  ..., 4.5],\n         [-1.5, 2.0, 3.0, 4.0]]],\n       dtype=torch.bfloat16)";
        assert_eq!(rows(torch), [(0, 3, 1.5), (1, 4, -1.5)]);
        assert_eq!(read(torch).samples[0].rows, Some(2));
        assert_eq!(rows("layers.0.output = [[1.5, 2.5], [3.5, 4.5]]"), [(0, 2, 1.5), (1, 2, 3.5)]);
        // One row is the last token's.
        assert_eq!(rows("layers.0.output [[1.5 2.5 3.5]]"), [(-1, 3, 1.5)]);
        assert_eq!(rows("layers.0.output [[1.5 nan 3.5] [2.5 1.0 3.0]]"), [(0, 1, 1.5), (1, 3, 2.5)]);
    }

    #[test]
    fn heads_prompts_and_broken_arrays_are_left_alone() {
        for text in [
            "layers.0.output [[[1.5 2.5 3.5]] [[1.5 2.5 3.5]]]",
            "layers.0.output\n[[[1.5 2.5 3.5]\n  [1.5 2.5 3.5]]\n\n [[1.5 2.5 3.5]\n  [1.5 2.5 3.5]]]",
            "layers.0.output [[[1.5 2.5 3.5]] ... [[1.5 2.5 3.5]]]",
            "layers.0.output [[1.5 2.5 3.5] [1.5 x 3.5]]",
            "layers.0.output [[1.5 2.5 3.5] 4.5]",
            "layers.0.output [[1.5 2.5 3.5]",
            "layers.0.output [[]]",
            "something [[1.5 2.5 3.5]]",
        ] {
            assert!(read(text).samples.is_empty(), "{text}: {:?}", read(text).samples);
        }
    }
}
