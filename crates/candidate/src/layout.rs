//! How the values of a probe point may lie in someone's tensor.
//!
//! A tensor holds its numbers in some order of axes, perhaps with a batch axis, more rows than the prompt has tokens or fewer,
//! heads flattened or repeated. Each such order is a [`Layout`]: strides over the flat numbers. What the lengths allow is listed
//! by [`layouts`], the documented order first; which of several it is, only the values can tell.

use loupe_spec::{Config, Graph, HostTensor, Node, Op, Probe, Values};

use crate::held::{KnownRows, RowsHeld, row_counts};

/// Where each element of a probe point stands in a tensor's flat numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Length of each axis of what is read: the probe's own shape, with a row for each token that is there.
    pub shape: Vec<usize>,
    /// By how many numbers one step along each of those axes goes on.
    strides: Vec<usize>,
    /// The number to begin with.
    offset: usize,
    /// The halves of a head's lanes alternate: lane h of the first half at 2h, of the second at 2h + 1.
    interleaved: bool,
    /// Which tokens the rows are.
    pub rows: Vec<usize>,
    /// How many rows the tensor holds, with those that are not read.
    pub held: usize,
    /// The first of them that is read.
    pub first: usize,
    /// What there is to say of it; empty for the documented order.
    pub words: String,
}

impl Layout {
    /// The values of `tensor` in the probe's own order, in their own type.
    pub fn read(&self, values: &Values) -> HostTensor {
        HostTensor { shape: self.shape.clone(), values: values.picked(&self.places()) }
    }

    /// Every row of a tensor of rows in the documented order, those that are not read too; `None`: it is not one.
    pub fn all_rows(&self, values: &Values) -> Option<Vec<f64>> {
        let is_rows = matches!((&self.shape[..], &self.strides[..]), ([_, width], [step, 1]) if width == step);
        is_rows.then(|| values.to_f64())
    }

    /// Whether the elements stand in the same order as in `other`, whose shape may be another.
    pub fn is_in_order_of(&self, other: &Layout) -> bool {
        if self.shape == other.shape { same(self, other) } else { self.places() == other.places() }
    }

    /// Where each element stands, in the probe's order.
    fn places(&self) -> Vec<usize> {
        let mut places = vec![self.offset];
        for (axis, length) in self.shape.iter().enumerate() {
            let lanes = self.interleaved && axis + 1 == self.shape.len();
            let step = |at: usize| if lanes { (at % (length / 2)) * 2 + at / (length / 2) } else { at };
            places = places
                .iter()
                .flat_map(|place| (0..*length).map(move |at| place + step(at) * self.strides[axis]))
                .collect();
        }
        places
    }
}

/// Where the elements stand, the last axis fastest, of a tensor whose axes have these lengths and strides.
pub fn strided(offset: usize, axes: impl IntoIterator<Item = (usize, usize)>) -> Vec<usize> {
    axes.into_iter().fold(vec![offset], |places, (length, stride)| {
        places.iter().flat_map(|place| (0..length).map(move |at| place + at * stride)).collect()
    })
}

/// An axis of a tensor as it may lie there: its length, and which part of which axis of the probe it holds.
#[derive(Clone, Copy, Debug)]
struct Axis {
    length: usize,
    /// The probe's axis; `None` for one of which a single place is read.
    of: Option<usize>,
    /// The first place that is read.
    from: usize,
    /// How many are.
    count: usize,
}

/// Every way in which `probe` may lie in a tensor of shape `found`, the documented one first. Empty: none is known.
pub fn layouts(probe: Probe, found: &[usize], graph: &Graph, tokens: usize, known: KnownRows<'_>) -> Vec<Layout> {
    let expected = graph.shape(probe, tokens);
    // A vocabulary is often padded to a round number.
    let mut held = expected.clone();
    if let (true, Some(last), Some(vocabulary)) = (probe.is_logits(), found.last(), held.last_mut()) {
        *vocabulary = (*vocabulary).max(*last);
    }
    let lengths: Vec<usize> = found.iter().copied().filter(|length| *length != 1).collect();
    let count: usize = lengths.iter().product();
    let mut all: Vec<(bool, Layout)> = Vec::new();
    for rows in row_counts(probe, &lengths, count, &held, graph.config().num_hidden_layers, tokens, known) {
        for axes in orders(probe, &expected, &held, &rows, graph.config()) {
            let total: usize = axes.iter().map(|axis| axis.length).product();
            if total == count && (lengths.len() < axes.len() || is_grouping(&held_by(&axes), &lengths)) {
                let layout = laid(probe, &axes, &rows, &lengths, expected.len());
                // The same numbers in the same order are one layout, however it was come by.
                if !all.iter().any(|(_, other)| same(other, &layout)) {
                    all.push((is_grouping(&held_by(&axes), &lengths), layout));
                }
            }
        }
    }
    // What the shape says goes before what only the count allows.
    all.sort_by_key(|(as_said, layout)| (!as_said, !layout.words.is_empty()));
    let mut all: Vec<Layout> = all.into_iter().map(|(_, layout)| layout).collect();
    let head_dim = graph.config().head_dim;
    // Those of the rotation: it takes halves apart.
    let of_a_rotation =
        |node: &Node| matches!(node.op, Op::Rope { .. }) && (node.probe == probe || node.inputs.contains(&probe));
    let halves = graph.nodes().iter().any(of_a_rotation);
    if halves && head_dim.is_multiple_of(2) && head_dim > 2 {
        let turned = |layout: &Layout| {
            let words = joined(&layout.words, "lanes of the two halves alternate");
            Layout { interleaved: true, words, ..layout.clone() }
        };
        all.extend(all.iter().map(turned).collect::<Vec<_>>());
    }
    all
}

fn same(one: &Layout, other: &Layout) -> bool {
    // An axis of one place steps nowhere.
    let steps = |layout: &Layout| -> Vec<usize> {
        layout.shape.iter().zip(&layout.strides).filter(|(length, _)| **length > 1).map(|(_, stride)| *stride).collect()
    };
    let begins = |layout: &Layout| (layout.offset, layout.interleaved);
    one.shape == other.shape && begins(one) == begins(other) && one.rows == other.rows && steps(one) == steps(other)
}

/// Axes in the orders in which a tensor may hold them, the documented one first.
fn orders(probe: Probe, expected: &[usize], held: &[usize], rows: &RowsHeld, config: &Config) -> Vec<Vec<Axis>> {
    let token = probe.token_axis();
    let axis = |of: usize| {
        let length = expected[of];
        let read = rows.tokens.len();
        if of == token {
            return Axis { length: rows.held, of: Some(of), from: rows.from, count: read };
        }
        if probe.has_keys() && of + 1 == expected.len() {
            let (from, count) = (rows.keys_from, (rows.keys - rows.keys_from).min(length));
            return Axis { length: rows.keys, of: Some(of), from, count };
        }
        Axis { length: held[of], of: Some(of), from: 0, count: length }
    };
    let axes: Vec<Axis> = (0..expected.len()).map(axis).collect();
    let mut orders: Vec<Vec<Axis>> =
        permutations(axes.len()).into_iter().map(|order| order.iter().map(|at| axes[*at]).collect()).collect();
    // Keys and values that were repeated for each query head: the copies stand side by side.
    let copies = config.num_attention_heads / config.num_key_value_heads.max(1);
    if copies > 1 && probe.axes().contains(&loupe_spec::Axis::K) {
        let repeated = |order: &Vec<Axis>| {
            let copy = Axis { length: copies, of: None, from: 0, count: 1 };
            order.iter().flat_map(|axis| if axis.of == Some(1) { vec![*axis, copy] } else { vec![*axis] }).collect()
        };
        orders.extend(orders.iter().map(repeated).collect::<Vec<_>>());
    }
    let (prompts, prompt) = rows.batch;
    if prompts > 1 {
        let batch = Axis { length: prompts, of: None, from: prompt, count: 1 };
        orders.iter_mut().for_each(|order| order.insert(0, batch));
    }
    orders
}

/// Every order of `count` things, the natural one first.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    match count {
        0 => vec![vec![]],
        1 => vec![vec![0]],
        2 => vec![vec![0, 1], vec![1, 0]],
        _ => vec![vec![0, 1, 2], vec![1, 0, 2], vec![0, 2, 1], vec![1, 2, 0], vec![2, 0, 1], vec![2, 1, 0]],
    }
}

/// `axes`, in the order in which they lie in memory, as a layout; `lengths` are those that the tensor says, without ones.
fn laid(probe: Probe, axes: &[Axis], rows: &RowsHeld, lengths: &[usize], rank: usize) -> Layout {
    let (mut shape, mut strides, mut offset) = (vec![1; rank], vec![0; rank], 0);
    let mut stride = 1;
    for axis in axes.iter().rev() {
        offset += axis.from * stride;
        if let Some(of) = axis.of {
            shape[of] = axis.count;
            strides[of] = stride;
        }
        stride *= axis.length;
    }
    let order: Vec<usize> = axes.iter().filter_map(|axis| axis.of).collect();
    let natural = order.is_sorted();
    let mut words = rows.words.clone();
    if let Some(axis) = axes.iter().find(|axis| axis.of.is_some_and(|of| of + 1 == rank) && axis.length > axis.count)
        && !probe.has_keys()
    {
        words = joined(&words, &format!("{} lanes, of which {} are padding", axis.length, axis.length - axis.count));
    }
    if axes.iter().any(|axis| axis.of.is_none()) && rows.batch.0 == 1 {
        words = joined(&words, "each head repeated for its query heads");
    }
    if !natural {
        let order: Vec<&str> = order.iter().map(|of| probe.axes()[*of].called(probe.axes())[1]).collect();
        words = joined(&words, &format!("axes in the order {}", order.join(", ")));
    }
    if !is_grouping(&held_by(axes), lengths) {
        words = joined(&words, &format!("reshaped to {lengths:?}"));
    }
    let (prompts, prompt) = rows.batch;
    let (held, first) = (rows.held * prompts, rows.from + rows.held * prompt);
    Layout { shape, strides, offset, interleaved: false, rows: rows.tokens.clone(), held, first, words }
}

/// The lengths that a tensor with these axes says, without ones.
fn held_by(axes: &[Axis]) -> Vec<usize> {
    axes.iter().map(|axis| axis.length).filter(|length| *length != 1).collect()
}

/// Whether `lengths` are those of `axes`, some neighbours taken together.
fn is_grouping(axes: &[usize], lengths: &[usize]) -> bool {
    let mut axes = axes.iter();
    lengths.iter().all(|length| {
        let mut product = 1;
        while product < *length {
            match axes.next() {
                Some(axis) => product *= axis,
                None => return false,
            }
        }
        product == *length
    }) && axes.next().is_none()
}

fn joined(words: &str, more: &str) -> String {
    if words.is_empty() { more.to_string() } else { format!("{words}, {more}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The words of each layout in which `stage` of the small model, over three tokens, may lie in a tensor of `shape`.
    fn words(stage: &str, shape: &[usize]) -> Vec<String> {
        let layouts =
            layouts(Probe::of(Some(0), stage).unwrap(), shape, &crate::small_graph(), 3, KnownRows::default());
        layouts.into_iter().map(|layout| layout.words).collect()
    }

    #[test]
    fn the_documented_order_goes_first_and_has_no_words() {
        for (stage, shape) in [
            ("self_attn.q_proj", &[3, 2, 4][..]),
            ("self_attn.q_proj", &[1, 3, 2, 4]),
            ("self_attn.q_proj", &[3, 8]),
            ("self_attn.q_proj", &[1, 3, 8]),
            ("self_attn.q_proj", &[24]),
            ("self_attn.k_proj", &[3, 1, 4]),
            ("self_attn.k_proj", &[3, 4]),
            ("output", &[1, 3, 6]),
            ("output", &[3, 1, 6]),
            ("output", &[18]),
            ("self_attn.scores", &[2, 3, 3]),
            ("self_attn.scores", &[1, 2, 3, 3]),
        ] {
            assert_eq!(words(stage, shape)[0], "", "{stage:?} {shape:?}");
        }
    }

    #[test]
    fn what_the_lengths_allow_is_listed() {
        let only = |stage, shape: &[usize], wanted: &[&str]| assert_eq!(words(stage, shape), wanted, "{shape:?}");
        only("output", &[3, 6], &[""]);
        only("output", &[6, 3], &["axes in the order lanes, tokens"]);
        only("output", &[18], &["", "axes in the order lanes, tokens"]);
        only("output", &[1, 1, 6], &["one row, token 2", "one row, token 0", "one row, token 1"]);
        only("output", &[2, 6], &["2 rows, tokens 1 to 2", "2 rows, tokens 0 to 1"]);
        let padded = ["at the end", "before the first"].map(|place| format!("4 rows, of which 1 are padding {place}"));
        assert_eq!(words("output", &[4, 6]), padded);
        let filled = words("output", &[2, 4, 6]);
        assert!(filled.contains(
            &"2 prompts, of which number 2 is judged: 4 rows, of which 1 are padding at the end".to_string()
        ));
        assert!(words("output", &[4, 3, 6]).contains(&"4 prompts, of which number 2 is judged".to_string()));
        assert!(words("self_attn.q_proj", &[2, 3, 4])[0].starts_with("axes in the order heads, tokens, lanes"));
        let flat = words("self_attn.q_proj", &[3, 8]);
        assert!(flat.contains(&"axes in the order heads, tokens, lanes, reshaped to [3, 8]".to_string()), "{flat:?}");
        assert!(flat.contains(&"lanes of the two halves alternate".to_string()), "{flat:?}");
        assert!(words("self_attn.k_rope", &[3, 2, 4]).contains(&"each head repeated for its query heads".to_string()));
        for (stage, shape) in [("output", &[3, 5][..]), ("output", &[5]), ("self_attn.q_proj", &[3, 1, 4])] {
            assert!(words(stage, shape).is_empty(), "{shape:?}");
        }
    }

    #[test]
    fn values_are_read_in_the_probes_own_order() {
        let read = |stage, shape: &[usize], words: &str| {
            let layouts =
                layouts(Probe::of(Some(0), stage).unwrap(), shape, &crate::small_graph(), 3, KnownRows::default());
            let layout = layouts.into_iter().find(|layout| layout.words == words).unwrap();
            let count: usize = shape.iter().product();
            layout.read(&Values::I64((0..count as i64).collect())).values.to_f64()
        };
        assert_eq!(read("output", &[6, 3], "axes in the order lanes, tokens")[..4], [0.0, 3.0, 6.0, 9.0]);
        // Token 0: head 0, then head 1, which begins after three tokens of four lanes.
        let heads_first = read("self_attn.q_proj", &[2, 3, 4], "axes in the order heads, tokens, lanes");
        assert_eq!(heads_first[..8], [0.0, 1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0]);
        let alternating = read("self_attn.k_proj", &[3, 4], "lanes of the two halves alternate");
        assert_eq!(alternating[..4], [0.0, 2.0, 1.0, 3.0]);
        let padded = read("output", &[4, 6], "4 rows, of which 1 are padding before the first");
        assert_eq!(padded[..2], [6.0, 7.0]);
        let repeated = read("self_attn.k_rope", &[3, 2, 4], "each head repeated for its query heads");
        assert_eq!(repeated, [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0, 16.0, 17.0, 18.0, 19.0]);
    }
}
