//! Is this dump what it says it is? What no engine computes is said before anything is judged.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use loupe_spec::{Axis, Dtype, Graph, Probe, Values, echo};

use crate::open::Open;

/// A sentence for each kind of values that nothing can have computed. `token_ids` are the prompt's.
pub fn doubts(opens: &[Open], graph: &Graph, token_ids: &Values) -> Vec<String> {
    let ids = token_ids.to_f64();
    let several = ids.iter().any(|id| *id != ids[0]);
    let not_masks = || opens.iter().filter(|open| open.reading().probe.kind() != loupe_spec::Kind::Mask);
    let mut found: Vec<(Kind, &Open, String)> =
        not_masks().filter_map(|open| doubt(open, several).map(|(kind, what)| (kind, open, what))).collect();
    if several {
        found.extend(copies(not_masks(), graph));
    }
    // One line a kind: what befalls one buffer befalls all.
    Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let mut of_kind = found.iter().filter(|(other, ..)| *other == kind);
            let (_, open, what) = of_kind.next()?;
            let more = match of_kind.count() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some(format!("\"{}\"{more}: {what}", echo(&open.name)))
        })
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zeros,
    NoNumbers,
    OtherBits,
    Constant,
    Alike,
    Copy,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Zeros, Kind::NoNumbers, Kind::OtherBits, Kind::Constant, Kind::Alike, Kind::Copy];
}

/// `several`: the prompt's tokens are not all the same.
fn doubt(open: &Open, several: bool) -> Option<(Kind, String)> {
    let probe = open.reading().probe;
    zeros(&open.values)
        .or_else(|| other_bits(probe, &open.values))
        .or_else(|| no_numbers(probe, &open.values))
        .or_else(|| constant(open, several))
}

/// Hidden scores are minus infinity in many engines, and probabilities 0.
fn is_of_attention(probe: Probe) -> bool {
    probe.axes() == [Axis::N, Axis::T, Axis::S]
}

fn zeros(values: &Values) -> Option<(Kind, String)> {
    let mut all_zero = !values.is_empty();
    values.for_each(|value| all_zero &= value == 0.0);
    all_zero.then(|| (Kind::Zeros, "every value is 0; was the buffer read back after the work was done?".to_string()))
}

fn no_numbers(probe: Probe, values: &Values) -> Option<(Kind, String)> {
    let mut strange = 0_usize;
    values.for_each(|value| {
        let hidden = is_of_attention(probe) && value == f64::NEG_INFINITY;
        strange += usize::from(!value.is_finite() && !hidden);
    });
    let share = 100.0 * strange as f64 / values.len().max(1) as f64;
    (strange > 0).then(|| (Kind::NoNumbers, format!("{share:.2} % of the values are NaN or infinite")))
}

/// Numbers of one type read as another's: their sizes are spread as no layer's are.
fn other_bits(probe: Probe, values: &Values) -> Option<(Kind, String)> {
    let own = values.dtype();
    if is_of_attention(probe) || !Dtype::FLOATS.contains(&own) || is_usual(values) {
        return None;
    }
    let bytes = values.le_bytes();
    let others = Dtype::FLOATS.into_iter().filter(|dtype| *dtype != own && bytes.len().is_multiple_of(dtype.size()));
    let meant = others.into_iter().find(|dtype| is_usual(&Values::from_le_bytes(*dtype, &bytes)))?;
    Some((
        Kind::OtherBits,
        format!("the bytes are numbers in {meant}, and are read as {own}, as which they are stored"),
    ))
}

/// Values of a layer are of like size: the logarithm to base 2 of a normal variable's size has a standard deviation of 1.6, and
/// outlying lanes make it a little more. Bits of another type give less than 1 (all of one size) or more than 5.
fn is_usual(values: &Values) -> bool {
    const FEW: f64 = 32.0;
    let (mut count, mut sum, mut squares, mut strange) = (0.0, 0.0, 0.0, false);
    values.for_each(|value| {
        strange |= !value.is_finite();
        if value != 0.0 && value.is_finite() {
            let size = value.abs().log2();
            count += 1.0;
            sum += size;
            squares += size * size;
        }
    });
    let mean: f64 = sum / count;
    let deviation = (squares / count - mean * mean).max(0.0).sqrt();
    !strange && (count < FEW || (0.9..5.0).contains(&deviation))
}

/// Rows that hold one number, or the same numbers as every other row.
fn constant(open: &Open, several: bool) -> Option<(Kind, String)> {
    let (reading, tensor) = (open.reading(), open.tensor());
    let rows = reading.layout.rows.len();
    if reading.probe.token_axis() != 0 || tensor.values.len() < 2 * rows.max(1) {
        return None;
    }
    let values = tensor.values.to_f64();
    let mut each = values.chunks_exact(values.len() / rows.max(1));
    if each.clone().all(|row| row.iter().all(|value| *value == row[0])) {
        return Some((Kind::Constant, "each row is one number over and over".to_string()));
    }
    let first = each.next()?;
    let alike = rows > 1 && several && each.all(|row| row == first);
    alike.then(|| (Kind::Alike, "every token's row is the same".to_string()))
}

/// Tensors that are bit for bit another one's copy, where neither is computed from the other: a stage that is left out leaves
/// the values of the one before it.
fn copies<'a>(opens: impl Iterator<Item = &'a Open>, graph: &Graph) -> Vec<(Kind, &'a Open, String)> {
    let mut seen: HashMap<u64, &Open> = HashMap::new();
    let mut copies = Vec::new();
    for open in opens.filter(|open| zeros(&open.values).is_none()) {
        let bytes = open.values.le_bytes();
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let Some(first) = seen.get(&hasher.finish()) else {
            seen.insert(hasher.finish(), open);
            continue;
        };
        let (one, other) = (first.reading().probe, open.reading().probe);
        let follows = |probe: Probe, input| probe == input || graph.inputs(probe).contains(&input);
        if first.values.le_bytes() == bytes && !follows(one, other) && !follows(other, one) {
            let what =
                format!("bit for bit a copy of \"{}\"; was a buffer used again before it was read?", echo(&first.name));
            copies.push((Kind::Copy, open, what));
        }
    }
    copies
}
