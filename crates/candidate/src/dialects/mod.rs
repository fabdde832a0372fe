//! What other programs call the values that Loupe calls probe points: a table a program.
//!
//! A name is looked up with its separators (`.`, `/`, `-`, `_`, `:`, blanks) and its case set aside, and any run of digits in
//! it may be the layer: `blocks.3.attn.hook_q`, `blocks/3/attn/hook_q` and `Blocks_3_attn_hook_q` are one name.

mod doppler;
mod hugging_face;
mod llama_cpp;
mod short;
mod table;
mod transformer_lens;
mod vllm;

use std::collections::HashMap;
use std::sync::LazyLock;

use loupe_spec::Probe;

pub(crate) use table::{Dialect, Holds, squashed};

/// Every dialect. Where two know a name, the one that knows more of a dump's names is taken; at equal counts the first.
pub(crate) static ALL: [&Dialect; 7] = [
    &hugging_face::HUGGING_FACE,
    &llama_cpp::LLAMA_CPP,
    &transformer_lens::TRANSFORMER_LENS,
    &doppler::DOPPLER,
    &doppler::DOPPLER_OPERATORS,
    &vllm::VLLM,
    &short::SHORT,
];

/// Each dialect's names, squashed, to what they hold.
static TABLES: LazyLock<Vec<HashMap<String, Holds>>> = LazyLock::new(|| ALL.iter().map(|d| d.table()).collect());

/// What `name` holds, and of which layer, in dialect `at` of [`ALL`].
pub(crate) fn look_up(at: usize, name: &str) -> Option<(Holds, usize)> {
    let squashed = squashed(name);
    let whole = in_table(&TABLES[at], &squashed);
    let tails = || ALL[at].tails.iter().filter_map(|tail| squashed.strip_suffix(tail)?.strip_suffix('_'));
    // An index after a list of tensors is no tail of a module's name.
    let module = |found: &(Holds, usize)| {
        !matches!(found.0, Holds::HiddenState | Holds::HiddenStates) && !squashed.starts_with("attention")
    };
    whole.or_else(|| tails().find_map(|name| in_table(&TABLES[at], name)).filter(module))
}

/// More runs of digits than any name has that means something.
const MOST_RUNS: usize = 4;

fn in_table(table: &HashMap<String, Holds>, name: &str) -> Option<(Holds, usize)> {
    if let Some(holds) = table.get(name) {
        return Some((*holds, 0));
    }
    let mut from = 0;
    for _ in 0..MOST_RUNS {
        let start = from + name.get(from..)?.find(|c: char| c.is_ascii_digit())?;
        let end = name[start..].find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |length| start + length);
        if let Ok(layer) = name[start..end].parse()
            && let Some(holds) = table.get(&format!("{}{{l}}{}", &name[..start], &name[end..]))
        {
            return Some((*holds, layer));
        }
        from = end;
    }
    None
}

/// The value called `path`, in `layer` if it is of one.
pub(crate) fn value(path: &str, layer: usize) -> Option<Probe> {
    Probe::of(Some(layer), path).or_else(|| Probe::of(None, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_entries_of_a_dialect_are_one_name() {
        for dialect in ALL {
            let layers = dialect.layers.len() + dialect.after.len();
            let count = dialect.roots.len() * (layers * dialect.in_layer.len() + dialect.elsewhere.len());
            assert_eq!(dialect.table().len(), count, "{}", dialect.name);
        }
    }

    #[test]
    fn every_path_of_a_dialect_is_a_probe_points() {
        for (name, holds) in TABLES.iter().flatten() {
            if let Holds::Values(paths) | Holds::Fused(paths) = holds {
                assert!(paths.iter().all(|path| value(path, 0).is_some()), "{name}: {paths:?}");
            }
        }
    }
}
