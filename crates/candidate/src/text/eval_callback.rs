//! What `llama-eval-callback` and `llama-debug` print: of each tensor of the graph the first three and the last three places along each
//! axis, lengths in ggml's order, the fastest first.
//!
//! ```text
//! ggml_debug:   Qcur-0 = (f32)  ROPE(Qcur-0 (reshaped){256, 8, 7, 1}, inp_pos{7, 1, 1, 1}}) = {256, 8, 7, 1}
//!     [
//!         [
//!             [     0.0434,     0.2299,    -0.2418, ...,    -0.3296,    -0.0322,    -0.0372],
//!             ...,
//!         ],
//!     ]
//!     sum = -12.345
//! ```
//!
//! The sum is passed over: in some versions it is that of the printed values, in others a running sum in f32.

use crate::Sample;
use crate::sample::Printed;

/// So many places are printed after those that are left out.
const AT_THE_END: usize = 3;

/// The tensor that is being printed, and where in it.
#[derive(Debug, Default)]
pub(super) struct Printing {
    name: String,
    /// Lengths, the fastest axis first.
    lengths: Vec<usize>,
    /// Brackets that are open.
    depth: usize,
    /// The row, and which block of rows.
    row: usize,
    block: usize,
}

impl Printing {
    /// The sample of `line`, where it is a row of a tensor.
    pub fn sample(&mut self, line: &str) -> Option<Sample> {
        if let Some((name, lengths)) = header(line) {
            *self = Printing { name, lengths, ..Printing::default() };
            return None;
        }
        if self.lengths.is_empty() {
            return None;
        }
        let text = line.trim().trim_end_matches(',').trim_end();
        match text {
            "[" => {
                self.depth += 1;
                self.row = 0;
                None
            }
            "]" => {
                self.depth = self.depth.saturating_sub(1);
                self.block += 1;
                None
            }
            "..." => {
                let (at, axis) = if self.depth > 1 { (&mut self.row, 1) } else { (&mut self.block, 2) };
                *at = self.lengths[axis].saturating_sub(AT_THE_END);
                None
            }
            _ => {
                let row = text.strip_prefix('[')?.strip_suffix(']')?;
                let sample = self.row_of(row);
                self.row += 1;
                sample
            }
        }
    }

    fn row_of(&self, row: &str) -> Option<Sample> {
        let width = self.lengths[0];
        let (first, last) = row.split_once("...").unwrap_or((row, ""));
        let read = |part: &str| -> Option<Vec<Printed>> {
            part.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Printed::parse).collect()
        };
        let (first, last) = (read(first)?, read(last)?);
        let end = width.checked_sub(last.len())?;
        let inner = (0..first.len()).chain(end..width);
        // [lanes, heads, tokens] has a block for each token, [lanes, tokens] a row.
        let headed = self.lengths[2] > 1;
        let (token, before) = if headed { (self.block, self.row * width) } else { (self.row, 0) };
        let only = self.lengths[if headed { 2 } else { 1 }] == 1;
        // Towards the end llama.cpp goes on with the last token alone.
        let token = if only { -1 } else { token as i64 };
        let lanes = inner.map(|lane| before + lane).collect();
        let numbers = first.into_iter().chain(last).collect();
        Some(Sample { name: self.name.clone(), token, lanes, numbers, ..Sample::default() })
    }
}

/// The name and the lengths that a line says which begins a tensor.
fn header(line: &str) -> Option<(String, Vec<usize>)> {
    let (before, rest) = line.split_once(" = (")?;
    let (_, lengths) = rest.rsplit_once("= {")?;
    let lengths: Vec<usize> =
        lengths.trim().strip_suffix('}')?.split(',').map(|length| length.trim().parse().ok()).collect::<Option<_>>()?;
    let name = before.rsplit(": ").next()?.trim();
    let operation = rest.split_once(')')?.1.trim().split('(').next()?;
    // Queries and keys are called alike before the rotation and after it.
    let projected = operation == "MUL_MAT";
    let name = match name.split_once('-') {
        Some(("Qcur", layer)) if projected => format!("layers.{layer}.self_attn.q_proj"),
        Some(("Kcur", layer)) if projected => format!("layers.{layer}.self_attn.k_proj"),
        _ => name.to_string(),
    };
    (lengths.len() == 4).then_some((name, lengths))
}

#[cfg(test)]
mod tests {
    use crate::text::read;

    #[test]
    fn rows_of_tensors_are_read_with_their_places() {
        let text = "ggml_debug:  l_out-1 = (f32)  ADD(a{8, 7, 1, 1}, b{8, 7, 1, 1}}) = {8, 7, 1, 1} \n\
                    \x20   [\n      [\n\
                    \x20      [  0.1000,  0.2000,  0.3000, ...,  0.6000,  0.7000,  0.8000],\n\
                    \x20      [  1.1000,  1.2000,  1.3000, ...,  1.6000,  1.7000,  1.8000],\n\
                    \x20      [  2.1000,  2.2000,  2.3000, ...,  2.6000,  2.7000,  2.8000],\n\
                    \x20      ..., \n\
                    \x20      [  4.1000,  4.2000,  4.3000, ...,  4.6000,  4.7000,  4.8000],\n\
                    \x20     ],\n    ]\n    sum = 12.5\n\
                    common_debug_cb_eval:  Qcur-0 = (f32) ROPE(Qcur-0 (reshaped){4, 2, 7, 1}, inp_pos{7, 1, 1, 1}}) = {4, 2, 7, 1}\n\
                    [\n [\n  [ 0.5, 0.25, 0.125, ...],\n  [ 1.5, 1.25, 1.125, ...],\n ],\n ...,\n [\n  [ 4.5, 4.25, 4.125, ...],\n ],\n]\n\
                    ggml_debug: Qcur-0 = (f32) MUL_MAT(w{8, 8, 1, 1}, x{8, 1, 1, 1}}) = {8, 1, 1, 1}\n[\n[\n[ 0.5, 0.25, 0.125 ],\n],\n]\n";
        let found = read(text).samples;
        let places: Vec<(&str, i64, Vec<usize>)> =
            found.iter().map(|sample| (sample.name.as_str(), sample.token, sample.lanes.clone())).collect();
        let ends = vec![0, 1, 2, 5, 6, 7];
        assert_eq!(
            places,
            [
                ("l_out-1", 0, ends.clone()),
                ("l_out-1", 1, ends.clone()),
                ("l_out-1", 2, ends.clone()),
                ("l_out-1", 4, ends),
                ("Qcur-0", 0, vec![0, 1, 2]),
                ("Qcur-0", 0, vec![4, 5, 6]),
                ("Qcur-0", 4, vec![0, 1, 2]),
                ("layers.0.self_attn.q_proj", -1, vec![0, 1, 2]),
            ]
        );
        assert!((found[3].numbers[5].value - 4.8).abs() < 1e-12);
    }
}
