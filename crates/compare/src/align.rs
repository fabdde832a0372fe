//! A candidate's tensors under our names and in our shapes.

use std::collections::BTreeMap;

use loupe_spec::{Config, Dtype, HostTensor, Probe, Stage, Values};

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
    /// Its report says that f32 was f32 in matrix products.
    pub strict: bool,
    /// The tensors, with `rows` rows each. `token_ids` are the prompt's, all of them.
    pub trace: Trace,
    /// Which prompt positions those rows are.
    pub rows: Rows,
    /// Names that are no probe's.
    pub ignored: Vec<String>,
    /// What is wrong with the file itself, a sentence each: shapes that cannot be.
    pub misshapen: Vec<String>,
}

/// A candidate that cannot be judged at all.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// Not one tensor has a name of ours.
    #[error(
        "{path}: none of its {count} tensors has a name of probe-points.md (first: {first}); map its names with \
         \"names\": {{\"{first}\": \"layers.0.output\"}}"
    )]
    Nothing {
        /// The file.
        path: String,
        /// How many there are.
        count: usize,
        /// One of them.
        first: String,
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

/// Sorts `tensors` into probes. `names` maps a candidate's own names; a leading batch axis of 1 and flat heads
/// ([T, N*H]) are accepted.
///
/// # Errors
/// No tensor that could be judged, or a position outside the prompt.
pub fn align(
    path: &str,
    tensors: Vec<(String, HostTensor)>,
    names: &[(String, Probe)],
    config: &Config,
    tokens: usize,
    rows: &Rows,
) -> Result<(Trace, Vec<String>, Vec<String>), AlignError> {
    let positions = rows.positions(tokens);
    if let Some(position) = positions.iter().copied().find(|position| *position >= tokens) {
        return Err(AlignError::Position { position, tokens });
    }
    let (mut trace, mut ignored, mut misshapen) = (BTreeMap::new(), Vec::new(), Vec::new());
    let count = tensors.len();
    let first = tensors.first().map(|(name, _)| name.clone()).unwrap_or_default();
    for (name, tensor) in tensors {
        let mapped = names.iter().find(|(own, _)| *own == name).map(|(_, probe)| *probe);
        let probe = mapped.or_else(|| name.parse().ok());
        let Some(probe) = probe.filter(|p| p.layer().is_none_or(|l| l < config.num_hidden_layers)) else {
            ignored.push(name);
            continue;
        };
        match shaped(probe, tensor, config, tokens, &positions) {
            Ok(tensor) => {
                trace.insert(probe, tensor);
            }
            Err(what) => misshapen.push(format!("{name}: {what}")),
        }
    }
    if trace.is_empty() && misshapen.is_empty() {
        return Err(AlignError::Nothing { path: path.to_string(), count, first });
    }
    Ok((trace, ignored, misshapen))
}

/// Which axis counts tokens.
pub fn token_axis(probe: Probe) -> usize {
    match probe {
        Probe::Layer(_, Stage::Scores | Stage::ScoresCapped | Stage::Probs) => 1,
        _ => 0,
    }
}

fn shaped(
    probe: Probe,
    mut tensor: HostTensor,
    config: &Config,
    tokens: usize,
    positions: &[usize],
) -> Result<HostTensor, String> {
    let found = tensor.shape.clone();
    let mut expected = probe.shape(config, tokens);
    if probe != Probe::TokenIds
        && let Some(axis) = expected.get_mut(token_axis(probe))
    {
        *axis = positions.len();
    }
    let is_flat = |shape: &[usize]| {
        expected.len() == 3 && token_axis(probe) == 0 && shape == [expected[0], expected[1] * expected[2]]
    };
    let without_batch = tensor.shape.strip_prefix(&[1]).map(<[usize]>::to_vec);
    if let Some(inner) = without_batch.filter(|inner| inner.len() == expected.len() || is_flat(inner)) {
        tensor.shape = inner;
    }
    if is_flat(&tensor.shape) {
        tensor.shape.clone_from(&expected);
    }
    if let ([.., keys], [.., found_keys]) = (expected.as_mut_slice(), tensor.shape.as_slice()) {
        // A decode step knows only the keys up to its own.
        let over_keys = matches!(probe, Probe::Layer(_, Stage::Mask)) || token_axis(probe) == 1;
        let seen = positions.iter().max().map_or(0, |position| position + 1);
        if over_keys && *found_keys == seen {
            *keys = seen;
        }
    }
    if tensor.shape == expected { Ok(tensor) } else { Err(format!("shape {found:?}, expected {expected:?}")) }
}

/// `reference`, with the candidate's rows in the place of its own at `positions`.
pub fn splice(probe: Probe, candidate: &HostTensor, reference: &HostTensor, positions: &[usize]) -> HostTensor {
    if candidate.shape == reference.shape && positions.iter().enumerate().all(|(row, position)| row == *position) {
        return candidate.clone();
    }
    let mut values = reference.values.to_f64();
    let axis = token_axis(probe);
    let outer: usize = reference.shape.iter().take(axis).product();
    let (rows, given) = (reference.shape[axis], positions.len());
    let width: usize = reference.shape.iter().skip(axis + 1).product();
    let own: usize = candidate.shape.iter().skip(axis + 1).product();
    for block in 0..outer {
        for (row, position) in positions.iter().enumerate() {
            for at in 0..own {
                values[(block * rows + position) * width + at] = candidate.values.get((block * given + row) * own + at);
            }
        }
    }
    HostTensor { shape: reference.shape.clone(), values: Values::F64(values) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_batch_axis_and_flat_heads_are_accepted_alone_and_together() {
        let config = crate::small_config();
        let probe = Probe::Layer(0, Stage::QProj);
        let of = |shape: &[usize]| {
            let values = Values::F32(vec![0.0; shape.iter().product()]);
            shaped(probe, HostTensor { shape: shape.to_vec(), values }, &config, 3, &[0, 1, 2]).map(|t| t.shape)
        };
        for shape in [&[3, 2, 4][..], &[1, 3, 2, 4], &[3, 8], &[1, 3, 8]] {
            assert_eq!(of(shape).unwrap(), [3, 2, 4], "{shape:?}");
        }
        assert!(of(&[2, 3, 4]).unwrap_err().contains("expected [3, 2, 4]"));
    }
}
