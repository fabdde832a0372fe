//! Why a tensor can be read in no order: another mathematics, or another packing.

use loupe_spec::{Config, Graph, Probe};

/// Why a tensor has not its probe's shape.
#[derive(Debug)]
pub enum Misfit {
    /// Another number of heads, or another width that the model has elsewhere: the mathematics differs.
    Shape(String),
    /// How it was written: axes in another order, some rows or some values of each. Nothing is known of the mathematics.
    Packed(String),
}

/// Why no layout fits a tensor of shape `found` that should have `rows` rows.
pub fn misfit(probe: Probe, found: &[usize], graph: &Graph, tokens: usize, rows: usize) -> Misfit {
    let axis = probe.token_axis();
    let mut expected = graph.shape(probe, tokens);
    if let Some(length) = expected.get_mut(axis) {
        *length = rows;
    }
    let what = format!("shape {found:?}, expected {expected:?}");
    let is_flat = |inner: &&[usize]| expected.len() == 3 && axis == 0 && inner.len() == 2;
    let without_batch = found.strip_prefix(&[1]);
    let inner = without_batch.filter(|inner| inner.len() == expected.len() || is_flat(inner)).unwrap_or(found);
    if let (Some((keys, others)), Some((all, same))) = (inner.split_last(), expected.split_last())
        && axis == 1
        && others == same
        && keys < all
    {
        return Misfit::Packed(format!(
            "{what}: {keys} keys, as a cache holds that drops what the window hides; record all keys"
        ));
    }
    if of_the_model(inner, &expected, axis, graph.config()) {
        return Misfit::Shape(what);
    }
    Misfit::Packed(format!("{what}: {}", remedy(inner, &expected, axis)))
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
fn remedy(found: &[usize], expected: &[usize], axis: usize) -> String {
    let width: usize = expected.iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, length)| *length).product();
    let count: usize = found.iter().product();
    if count == 0 {
        return "it holds no value; was it recorded?".to_string();
    }
    if width > 0 && count.is_multiple_of(width) {
        let rows = count / width;
        return format!("{rows} rows; say which tokens they are with \"positions\", or give the prompt that was run");
    }
    "whole rows are compared; record all of its values".to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used)]
    use super::*;

    #[test]
    fn another_head_count_is_the_mathematics_and_another_packing_is_not() {
        let of =
            |stage, shape: &[usize]| misfit(Probe::of(Some(0), stage).unwrap(), shape, &crate::small_graph(), 3, 3);
        for (stage, shape) in [
            ("self_attn.q_proj", &[3, 1, 4][..]),
            ("self_attn.q_proj", &[3, 4]),
            ("self_attn.k_proj", &[1, 3, 2, 4]),
            ("output", &[3, 4]),
            ("self_attn.probs", &[1, 3, 3]),
        ] {
            let Misfit::Shape(what) = of(stage, shape) else { panic!("{shape:?}") };
            assert!(what.contains(", expected ["), "{what}");
        }
        for (stage, shape, remedy) in [
            ("output", &[3, 5][..], "whole rows"),
            ("output", &[5], "whole rows"),
            ("output", &[0, 6], "holds no value"),
        ] {
            let Misfit::Packed(what) = of(stage, shape) else { panic!("{shape:?}") };
            assert!(what.contains(remedy), "{what}");
        }
    }
}
