//! Which tokens a candidate ran, read off its embeddings.

use loupe_candidate::Aligned;
use loupe_checkpoint::{Rows, Tensors};
use loupe_spec::{Config, Dtype, HostTensor, Probe, Weight};

use crate::CheckError;

/// Two rows of a table point the same way by this much if one is the other's copy, in 4 bits at worst; other tokens' do not.
const SAME: f64 = 0.98;

/// The prompt that was run where it was not `asked`, by the rows of its embeddings; `None`: the embeddings are those of
/// `asked`, or of no token.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn ids_of(
    aligned: &Aligned,
    asked: &[usize],
    tensors: &Tensors,
    config: &Config,
) -> Result<Option<Vec<usize>>, CheckError> {
    let Some(rows) = [Probe::EmbedRaw, Probe::EmbedScaled].iter().find_map(|probe| aligned.trace.get(probe)) else {
        return Ok(None);
    };
    let width = config.hidden_size;
    let values = rows.values.to_f64();
    let recorded: Vec<&[f64]> = values.chunks_exact(width).collect();
    let some = aligned.rows.positions(asked.len());
    let tokens = if recorded.len() == asked.len() { (0..asked.len()).collect() } else { some };
    let row = |id: usize| tensors.read(Weight::EmbedTokens, Rows::Range(id..id + 1), Dtype::F32);
    let mut others = Vec::new();
    for (recorded, token) in recorded.into_iter().zip(tokens) {
        if cosine(recorded, &row(asked[token])?.values.to_f64()) < SAME {
            others.push((token, recorded));
        }
    }
    if others.is_empty() {
        return Ok(None);
    }
    let mut best = vec![(SAME, None); others.len()];
    for start in (0..config.vocab_size).step_by(BLOCK) {
        let range = start..(start + BLOCK).min(config.vocab_size);
        let HostTensor { values, .. } = tensors.read(Weight::EmbedTokens, Rows::Range(range), Dtype::F32)?;
        let values = values.to_f64();
        for (best, (_, recorded)) in best.iter_mut().zip(&others) {
            for (at, row) in values.chunks_exact(width).enumerate() {
                let likeness = cosine(recorded, row);
                if likeness > best.0 {
                    *best = (likeness, Some(start + at));
                }
            }
        }
    }
    let mut ids = asked.to_vec();
    for ((_, found), (token, _)) in best.into_iter().zip(others) {
        let Some(id) = found else { return Ok(None) };
        ids[token] = id;
    }
    Ok(Some(ids))
}

/// Rows of the table that are read at a time.
const BLOCK: usize = 4096;

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let sizes = dot(one, one) * dot(other, other);
    if sizes > 0.0 { dot(one, other) / sizes.sqrt() } else { 0.0 }
}
