//! A candidate's tensors under our names and in our shapes.

use std::collections::BTreeMap;

use loupe_spec::{Arithmetic, Config, Dtype, HostTensor, Probe, Stage, echo, nearest};

use crate::Trace;

/// Which prompt positions the rows of a candidate are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All of them, in order.
    All,
    /// These, in this order: a decode step's single row, or the tail of a prefill.
    Positions(Vec<usize>),
}

impl Rows {
    /// The positions, for a prompt of `tokens`.
    pub fn positions(&self, tokens: usize) -> Vec<usize> {
        match self {
            Rows::All => (0..tokens).collect(),
            Rows::Positions(positions) => positions.clone(),
        }
    }
}

/// Someone's tensors, ready to be judged.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its file.
    pub path: String,
    /// The backend, as its report names it.
    pub backend: Option<String>,
    /// The check that made it.
    pub check: Option<String>,
    /// What its report or the config says that it was computed in.
    pub declared: Option<Dtype>,
    /// What the config says that it loses beside its storage.
    pub arithmetic: Option<Arithmetic>,
    /// Its report says that f32 was f32 in matrix products.
    pub strict: bool,
    /// The tensors, with `rows` rows each. `token_ids` are the prompt's, all of them.
    pub trace: Trace,
    /// Which prompt positions those rows are.
    pub rows: Rows,
    /// Names that are no probe's.
    pub ignored: Vec<String>,
    /// Tensors with another number of heads or another width than the model's, a sentence each.
    pub misshapen: Vec<String>,
    /// Tensors that are packed in a way that cannot be read, a sentence each with what would make them comparable.
    pub not_comparable: Vec<String>,
}

/// A candidate that cannot be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// Not one tensor has a name of ours.
    #[error(
        "{}: nothing to compare: none of its {count} tensors has a name that Loupe knows. It holds {found}. Map its \
         names to probe points: \"names\": {{{entries}}}",
        echo(.path)
    )]
    Nothing {
        /// The file.
        path: String,
        /// How many there are.
        count: usize,
        /// The first of them, in words.
        found: String,
        /// What the config's "names" may hold.
        entries: String,
    },
    /// What has a name of ours is packed in a way that cannot be read.
    #[error("{}: nothing to compare: {}", echo(.path), .what.join("; "))]
    NotComparable {
        /// The file.
        path: String,
        /// A sentence a tensor.
        what: Vec<String>,
    },
    /// Two tensors are the same probe.
    #[error("{}: \"{}\" and \"{}\" are both {probe}, expected one tensor for it", echo(.path), echo(.first), echo(.second))]
    Twice {
        /// The file.
        path: String,
        /// One.
        first: String,
        /// The other.
        second: String,
        /// What both are.
        probe: Probe,
    },
    /// A position that the prompt does not have.
    #[error("\"positions\" holds {position}, but the prompt has {tokens} tokens, 0 to {}", .tokens - 1)]
    Position {
        /// As given.
        position: usize,
        /// T
        tokens: usize,
    },
}

/// A candidate's tensors, sorted.
#[derive(Debug)]
pub struct Aligned {
    /// Those that can be compared.
    pub trace: Trace,
    /// Names that are no probe's.
    pub ignored: Vec<String>,
    /// As [`Candidate::misshapen`].
    pub misshapen: Vec<String>,
    /// As [`Candidate::not_comparable`].
    pub not_comparable: Vec<String>,
}

/// Sorts `tensors` into probes; `unknown` are names that no probe has. `names` maps a candidate's own names; a leading
/// batch axis of 1 and flat heads ([T, N*H]) are accepted.
///
/// # Errors
/// No tensor that could be judged, two of one name, or a position outside the prompt.
pub fn align(
    path: &str,
    tensors: Vec<(String, HostTensor)>,
    unknown: Vec<String>,
    names: &[(String, Probe)],
    config: &Config,
    tokens: usize,
    rows: &Rows,
) -> Result<Aligned, AlignError> {
    let positions = rows.positions(tokens);
    if let Some(position) = positions.iter().copied().find(|position| *position >= tokens) {
        return Err(AlignError::Position { position, tokens });
    }
    let path = path.to_string();
    let (mut trace, mut ignored) = (BTreeMap::new(), unknown);
    let (mut misshapen, mut not_comparable) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<Probe, String> = BTreeMap::new();
    for (name, tensor) in tensors {
        let mapped = names.iter().find(|(own, _)| *own == name).map(|(_, probe)| *probe);
        let probe = mapped.or_else(|| Probe::named(&name));
        let Some(probe) = probe.filter(|p| p.layer().is_none_or(|l| l < config.num_hidden_layers)) else {
            ignored.push(name);
            continue;
        };
        if let Some(first) = seen.insert(probe, name.clone()) {
            return Err(AlignError::Twice { path, first, second: name, probe });
        }
        // The ids were read before anything else: they are the prompt.
        if probe == Probe::TokenIds {
            continue;
        }
        match shaped(probe, tensor, config, tokens, &positions) {
            Ok(tensor) => drop(trace.insert(probe, tensor)),
            Err(Misfit::Shape(what)) => misshapen.push(format!("{}: {what}", echo(&name))),
            Err(Misfit::Packed(what)) => not_comparable.push(format!("{}: {what}", echo(&name))),
        }
    }
    if !trace.is_empty() || !misshapen.is_empty() {
        return Ok(Aligned { trace, ignored, misshapen, not_comparable });
    }
    if !not_comparable.is_empty() {
        return Err(AlignError::NotComparable { path, what: not_comparable });
    }
    let count = ignored.len() + seen.len();
    Err(AlignError::Nothing { path, count, found: found(&ignored), entries: entries(&ignored, config) })
}

/// Names that a message shows; and so many are likened to all of ours.
const SHOWN: usize = 5;
const MOST_LIKENED: usize = 100;

/// The first of `names`, and how many more there are.
pub fn found(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("\"{}\"", echo(name))).collect();
    match names.len().saturating_sub(SHOWN) {
        0 if shown.is_empty() => "token_ids alone".to_string(),
        0 => shown.join(", "),
        more => {
            shown.push(format!("and {more} more"));
            shown.join(", ")
        }
    }
}

/// Entries of "names" for those of `unknown` that are like a probe's name; if none is, what an entry looks like.
fn entries(unknown: &[String], config: &Config) -> String {
    let known: Vec<String> = Probe::all(config).iter().map(ToString::to_string).collect();
    let like = |name: &String| {
        let ends = known.iter().filter(|probe| name.ends_with(&format!(".{probe}"))).max_by_key(|probe| probe.len());
        ends.map(String::as_str).or_else(|| nearest(name, known.iter().map(String::as_str)))
    };
    // An entry is made to be copied: of a name that cannot be shown whole there is none.
    let entry =
        |name: &String| like(name).filter(|_| echo(name) == *name).map(|probe| format!("\"{name}\": \"{probe}\""));
    let entries: Vec<String> = unknown.iter().take(MOST_LIKENED).filter_map(entry).take(SHOWN).collect();
    if entries.is_empty() { "\"ITS_NAME\": \"layers.0.output\"".to_string() } else { entries.join(", ") }
}

/// Why a tensor has not its probe's shape.
#[derive(Debug)]
enum Misfit {
    /// Another number of heads, or another width that the model has elsewhere: the mathematics differs.
    Shape(String),
    /// How it was written: axes in another order, some rows or some values of each. Nothing is known of the mathematics.
    Packed(String),
}

fn shaped(
    probe: Probe,
    mut tensor: HostTensor,
    config: &Config,
    tokens: usize,
    positions: &[usize],
) -> Result<HostTensor, Misfit> {
    let found = tensor.shape.clone();
    let axis = probe.token_axis();
    let mut expected = probe.shape(config, tokens);
    if let Some(rows) = expected.get_mut(axis) {
        *rows = positions.len();
    }
    let is_flat =
        |shape: &[usize]| expected.len() == 3 && axis == 0 && shape == [expected[0], expected[1] * expected[2]];
    let without_batch = tensor.shape.strip_prefix(&[1]).map(<[usize]>::to_vec);
    if let Some(inner) = without_batch.filter(|inner| inner.len() == expected.len() || is_flat(inner)) {
        tensor.shape = inner;
    }
    if is_flat(&tensor.shape) {
        tensor.shape.clone_from(&expected);
    }
    if let ([.., keys], [.., found_keys]) = (expected.as_mut_slice(), tensor.shape.as_slice()) {
        // A decode step knows only the keys up to its own.
        let over_keys = matches!(probe, Probe::Layer(_, Stage::Mask)) || axis == 1;
        let seen = positions.iter().max().map_or(0, |position| position + 1);
        if over_keys && *found_keys == seen {
            *keys = seen;
        }
    }
    if tensor.shape == expected {
        return Ok(tensor);
    }
    let what = format!("shape {found:?}, expected {expected:?}");
    if of_the_model(&tensor.shape, &expected, axis, config) {
        return Err(Misfit::Shape(what));
    }
    Err(Misfit::Packed(format!("{what}: {}", remedy(&tensor.shape, &expected, axis, tokens))))
}

/// Whether `found` has the axes and rows of `expected`, and along the others sizes that the model has elsewhere.
fn of_the_model(found: &[usize], expected: &[usize], axis: usize, config: &Config) -> bool {
    let (n, k, h) = (config.num_attention_heads, config.num_key_value_heads, config.head_dim);
    let sizes = [config.hidden_size, config.intermediate_size, config.vocab_size, n, k, h, n * h, k * h];
    let fits = |expected: &[usize]| {
        found.len() == expected.len()
            && found.get(axis) == expected.get(axis)
            && found.iter().zip(expected).all(|(own, right)| own == right || sizes.contains(own))
    };
    let flat = [expected.first().copied().unwrap_or(0), expected.iter().skip(1).product()];
    let reordered = found.iter().product::<usize>() == expected.iter().product::<usize>();
    !reordered && (fits(expected) || (expected.len() == 3 && axis == 0 && fits(&flat)))
}

/// What would make a tensor of shape `found` comparable.
fn remedy(found: &[usize], expected: &[usize], axis: usize, tokens: usize) -> String {
    let width: usize = expected.iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, length)| *length).product();
    let count: usize = found.iter().product();
    if count == 0 {
        return "it holds no value; was it recorded?".to_string();
    }
    if count == expected.iter().product::<usize>() {
        return "as many values in another order of axes; write it in this one".to_string();
    }
    if count == width {
        let last = tokens.saturating_sub(1);
        return format!("one row; keep the axis of tokens, and say which it is: \"positions\": [{last}] for the last");
    }
    if width > 0 && count.is_multiple_of(width) {
        let rows = count / width;
        return format!("{rows} rows; say which tokens they are with \"positions\", or give the prompt that was run");
    }
    "whole rows are compared; record all of its values".to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use loupe_spec::Values;

    use super::*;

    fn of(stage: Stage, shape: &[usize]) -> Result<Vec<usize>, Misfit> {
        let values = Values::F32(vec![0.0; shape.iter().product()]);
        let tensor = HostTensor { shape: shape.to_vec(), values };
        shaped(Probe::Layer(0, stage), tensor, &crate::small_config(), 3, &[0, 1, 2]).map(|t| t.shape)
    }

    #[test]
    fn a_batch_axis_and_flat_heads_are_accepted_alone_and_together() {
        for shape in [&[3, 2, 4][..], &[1, 3, 2, 4], &[3, 8], &[1, 3, 8]] {
            assert_eq!(of(Stage::QProj, shape).unwrap(), [3, 2, 4], "{shape:?}");
        }
    }

    #[test]
    fn another_head_count_is_the_mathematics_and_another_packing_is_not() {
        for (stage, shape) in [
            (Stage::QProj, &[3, 1, 4][..]),
            (Stage::QProj, &[3, 4]),
            (Stage::KProj, &[1, 3, 2, 4]),
            (Stage::Output, &[3, 4]),
            (Stage::Probs, &[1, 3, 3]),
        ] {
            let Err(Misfit::Shape(what)) = of(stage, shape) else { panic!("{shape:?}") };
            assert!(what.contains(", expected ["), "{what}");
        }
        for (stage, shape, remedy) in [
            (Stage::QProj, &[2, 3, 4][..], "another order of axes"),
            (Stage::Output, &[6, 3], "another order of axes"),
            (Stage::Output, &[18], "another order of axes"),
            (Stage::Output, &[6], "\"positions\": [2]"),
            (Stage::Output, &[1, 6], "\"positions\": [2]"),
            (Stage::Output, &[2, 6], "2 rows; say which tokens"),
            (Stage::Output, &[3, 5], "whole rows"),
            (Stage::Output, &[5], "whole rows"),
            (Stage::Output, &[0, 6], "holds no value"),
        ] {
            let Err(Misfit::Packed(what)) = of(stage, shape) else { panic!("{shape:?}") };
            assert!(what.contains(remedy), "{what}");
        }
    }

    #[test]
    fn names_that_are_like_a_probes_are_proposed() {
        let entries = |names: &[&str]| {
            entries(&names.iter().map(ToString::to_string).collect::<Vec<_>>(), &crate::small_config())
        };
        assert_eq!(
            entries(&["model.layers.1.mlp.gate_proj"]),
            r#""model.layers.1.mlp.gate_proj": "layers.1.mlp.gate_proj""#
        );
        assert_eq!(entries(&["layers.1.otput"]), r#""layers.1.otput": "layers.1.output""#);
        assert_eq!(entries(&["zzz"]), r#""ITS_NAME": "layers.0.output""#);
    }
}
