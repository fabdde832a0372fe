//! Scores of hidden keys. Gemma's code leaves them as they are and adds a mask; many engines write something in their place,
//! and where they do is a recording of what their mask hides. What it shows may still be hidden further on.

use std::collections::BTreeSet;

use loupe_spec::{HostTensor, Probe, ReplayError, Replayer, Trace, Values};

use crate::open::{Open, predict};
use crate::reading::MASKED;

/// What stands in the place of hidden scores from here on: no score, and a number, for infinity times 0 is none. The lowest of f16.
const HIDDEN: f64 = -65504.0;

/// The path of a layer's mask.
const MASK: &str = "self_attn.mask";

/// The right masks of the layers whose scores are among `opens`.
///
/// # Errors
/// What the replayer says.
pub fn right_masks(opens: &[Open], token_ids: &HostTensor, replayer: &dyn Replayer) -> Result<Trace, ReplayError> {
    let are_scores = |probe: &Probe| matches!(probe.path(), "self_attn.scores" | "self_attn.scores_capped");
    let scores = opens.iter().map(|open| open.reading().probe).filter(are_scores);
    let wanted: BTreeSet<Probe> = scores.filter_map(|scores| scores.beside(MASK)).collect();
    if wanted.is_empty() {
        return Ok(Trace::new());
    }
    predict(replayer, &Trace::from([(Probe::TOKEN_IDS, token_ids.clone())]), &[], &wanted)
}

/// Takes what stands in the place of hidden scores for what it is: [`HIDDEN`] there, and where it hides too much, and no mask was
/// recorded, the mask.
/// `right` are the right masks, `rows` the tokens of tensors that have not all. What was done, a sentence.
pub fn take_hidden(trace: &mut Trace, right: &Trace, rows: &[usize], tokens: usize) -> Option<String> {
    let all: Vec<usize> = (0..tokens).collect();
    let layers: BTreeSet<usize> = trace.keys().filter_map(|probe| probe.layer()).collect();
    let mut masks: Trace = Trace::new();
    let (mut found, mut hides_too_much) = (None, false);
    for layer in layers {
        let of_layer = |path| Probe::of(Some(layer), path);
        for path in ["self_attn.scores_capped", "self_attn.scores"] {
            let Some(tensor) = of_layer(path).and_then(|scores| trace.get_mut(&scores)) else { continue };
            let [_, own, _] = tensor.shape[..] else { continue };
            let queries = if own == tokens { &all[..] } else { rows };
            if own != queries.len() {
                continue;
            }
            let Some((instead, hidden)) = hidden(tensor, queries) else { continue };
            found.get_or_insert(instead);
            let mut values = tensor.values.to_f64();
            let places = hidden.len();
            values.iter_mut().enumerate().filter(|(at, _)| hidden[at % places]).for_each(|(_, v)| *v = HIDDEN);
            tensor.values = Values::F64(values).to_dtype(tensor.values.dtype());
            let shape = tensor.shape[1..].to_vec();
            let keys = shape.last().copied().unwrap_or(1).max(1);
            let right = of_layer(MASK).and_then(|mask| right.get(&mask));
            let right = right.map(|mask| mask.values.to_f64()).unwrap_or_default();
            let is_seen =
                |at: usize| right.get(queries[at / keys] * tokens + at % keys).is_some_and(|seen| *seen != 0.0);
            hides_too_much |= (0..places).any(|at| hidden[at] && is_seen(at));
            let values = Values::U8(hidden.into_iter().map(|hidden| u8::from(!hidden)).collect());
            if let Some(mask) = of_layer(MASK) {
                masks.entry(mask).or_insert(HostTensor { shape, values });
            }
        }
    }
    let instead = found?;
    masks.retain(|mask, _| !trace.contains_key(mask));
    // What hides nothing that should be seen may be a part of the mask: the rest, a window, is then applied further on. Where the
    // probabilities that are 0 are the same, it is all of it.
    let probs = |mask: &Probe| mask.beside("self_attn.probs").and_then(|probs| trace.get(&probs));
    let probs = masks.iter().filter_map(|(probe, mask)| Some((probs(probe)?, mask)));
    let all_of_it = probs.map(|(probs, mask)| hides_the_same(probs, mask)).reduce(|one, other| one && other);
    if masks.is_empty() || !(hides_too_much || all_of_it == Some(true)) {
        return Some(format!("hidden scores hold {instead:?}"));
    }
    trace.extend(masks);
    Some(format!("hidden scores hold {instead:?}, and where they do is read as the mask"))
}

/// Whether the probabilities that are 0 in all heads are those of the keys that `mask` hides.
fn hides_the_same(probs: &HostTensor, mask: &HostTensor) -> bool {
    let (probs, mask) = (probs.values.to_f64(), mask.values.to_f64());
    let is_zero = |at: usize| probs.iter().skip(at).step_by(mask.len()).all(|value| *value == 0.0);
    probs.len().is_multiple_of(mask.len()) && mask.iter().enumerate().all(|(at, seen)| (*seen == 0.0) == is_zero(at))
}

/// What stands in the place of hidden scores in `tensor`, `[heads, queries, keys]`, and where: `[queries, keys]`. `None`: nothing
/// does.
fn hidden(tensor: &HostTensor, queries: &[usize]) -> Option<(f64, Vec<bool>)> {
    let keys = tensor.shape.last().copied().filter(|keys| *keys > 0)?;
    let places = queries.len() * keys;
    let values = tensor.values.to_f64();
    // How many tokens the key comes after its query.
    let later = |at: usize| (at % keys).saturating_sub(queries[at / keys]);
    // The last key is hidden from the first query, if any is.
    let first = (0..places).max_by_key(|at| later(*at)).filter(|at| later(*at) > 0)?;
    let instead = *values.get(first)?;
    let is_it =
        |value: f64| value == instead || (value.is_nan() && instead.is_nan()) || (value <= MASKED && instead <= MASKED);
    // In all heads: what one head has may be a score.
    let everywhere = |at: usize| values.iter().skip(at).step_by(places).all(|value| is_it(*value));
    let hidden: Vec<bool> = (0..places).map(everywhere).collect();
    // A mistaken mask may show the next key. What is above 0, or elsewhere in what is hidden another number, is a score.
    let far = later(first).min(2);
    let all_far = (0..places).filter(|at| later(*at) >= far).all(|at| hidden[at]);
    let is_no_score = instead.is_nan() || instead <= 0.0;
    (is_no_score && all_far && hidden.iter().any(|hidden| !hidden)).then_some((instead, hidden))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn in_layer_1(path: &str) -> Probe {
        Probe::of(Some(1), path).unwrap()
    }

    /// Scores of two heads over four tokens, `instead` where `hides` hides key j from query i.
    fn scores(instead: f64, hides: impl Fn(usize, usize) -> bool) -> Trace {
        let score = |at: usize| {
            let (i, j) = (at / 4 % 4, at % 4);
            if hides(i, j) { instead } else { 0.25 + at as f64 }
        };
        let values = Values::F64((0..32).map(score).collect());
        Trace::from([(in_layer_1("self_attn.scores"), HostTensor { shape: vec![2, 4, 4], values })])
    }

    /// The right mask of layer 1, with this window.
    fn right(window: usize) -> Trace {
        let seen = (0..16).map(|at| u8::from(at % 4 <= at / 4 && at / 4 - at % 4 < window)).collect();
        Trace::from([(in_layer_1(MASK), HostTensor { shape: vec![4, 4], values: Values::U8(seen) })])
    }

    fn mask(trace: &Trace) -> Option<Vec<f64>> {
        trace.get(&in_layer_1(MASK)).map(|mask| mask.values.to_f64())
    }

    #[test]
    fn whatever_stands_in_their_place_is_a_mask() {
        for instead in [f64::NEG_INFINITY, f64::NAN, -1e9, -1e4, -100.0, 0.0] {
            let mut trace = scores(instead, |i, j| j > i || i - j >= 2);
            let said = take_hidden(&mut trace, &right(4), &[], 4).unwrap();
            assert!(said.contains("read as the mask"), "{said}");
            let seen = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0];
            assert_eq!(mask(&trace).unwrap(), seen, "{instead}");
            let values = trace[&in_layer_1("self_attn.scores")].values.to_f64();
            assert_eq!(values.iter().filter(|value| **value == HIDDEN).count(), 18, "{instead}");
        }
    }

    /// What hides the window may come later.
    #[test]
    fn what_is_not_hidden_here_may_be_hidden_further_on() {
        let mut trace = scores(-1e9, |i, j| j > i);
        assert_eq!(take_hidden(&mut trace, &right(3), &[], 4).unwrap(), "hidden scores hold -1000000000.0");
        assert_eq!(mask(&trace), None);
    }

    #[test]
    fn scores_as_gemma_has_them_are_no_mask() {
        let mut trace = scores(0.0, |_, _| false);
        assert_eq!(take_hidden(&mut trace, &right(4), &[], 4), None);
        assert_eq!(mask(&trace), None);
        // A few zeros are scores that happen to be 0.
        assert_eq!(take_hidden(&mut scores(0.0, |i, j| (i, j) == (0, 3)), &right(4), &[], 4), None);
    }

    #[test]
    fn rows_of_some_tokens_and_a_recorded_mask() {
        let mut trace = scores(-1e9, |i, j| j != i);
        let tensor = trace.get_mut(&in_layer_1("self_attn.scores")).unwrap();
        let last = tensor.values.to_f64();
        // The rows of tokens 1 and 2.
        let rows =
            last.chunks(4).enumerate().filter(|(at, _)| [1, 2].contains(&(at % 4))).flat_map(|(_, row)| row.to_vec());
        *tensor = HostTensor { shape: vec![2, 2, 4], values: Values::F64(rows.collect()) };
        take_hidden(&mut trace, &right(4), &[1, 2], 4).unwrap();
        assert_eq!(mask(&trace).unwrap(), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let own = HostTensor { shape: vec![2, 4], values: Values::U8(vec![1; 8]) };
        let mut trace = scores(-1e9, |i, j| j > i);
        trace.insert(in_layer_1(MASK), own.clone());
        assert_eq!(take_hidden(&mut trace, &right(4), &[], 4).unwrap(), "hidden scores hold -1000000000.0");
        assert_eq!(trace[&in_layer_1(MASK)], own);
    }
}
