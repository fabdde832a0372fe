//! What other programs call the values that Loupe calls probe points: a table a program.
//!
//! A name is looked up with its separators (`.`, `/`, `-`, `_`, `:`, blanks) and its case set aside, and any run of digits in
//! it may be the layer: `blocks.3.attn.hook_q`, `blocks/3/attn/hook_q` and `Blocks_3_attn_hook_q` are one name.

mod doppler;
mod hugging_face;
mod llama_cpp;
mod short;
mod transformer_lens;
mod vllm;

use std::collections::HashMap;
use std::sync::LazyLock;

use loupe_spec::Probe;

/// What a name says that a tensor holds; of what belongs to a layer, in the layer that the name is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Holds {
    /// This probe point: the name is Loupe's own.
    Probe(Probe),
    /// These values, by their paths: the first is what the program documents, the others what it writes under the same name
    /// besides.
    Values(&'static [&'static str]),
    /// transformers' `hidden_states[{l}]`: what enters layer `{l}`; the last is after the final norm.
    HiddenState,
    /// All of those in one tensor, one after the other along the first axis.
    HiddenStates,
    /// Several in one, side by side along the last axis.
    Fused(&'static [&'static str]),
    /// Nothing that is a probe point: the sentence says what it is.
    Nothing(&'static str),
}

/// One program's names.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What a message calls it.
    pub name: &'static str,
    /// What stands before every name.
    roots: &'static [&'static str],
    /// What stands before a layer's names, with `{l}` for its number.
    layers: &'static [&'static str],
    /// What stands after a layer's names, with `{l}` for its number.
    after: &'static [&'static str],
    /// Names in a layer.
    in_layer: &'static [(&'static str, Holds)],
    /// Names outside of the layers, or with `{l}` at a place of their own.
    elsewhere: &'static [(&'static str, Holds)],
    /// What may stand after a name and means nothing.
    tails: &'static [&'static str],
}

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

impl Dialect {
    fn table(&self) -> HashMap<String, Holds> {
        let in_layer = self
            .layers
            .iter()
            .flat_map(|layer| self.in_layer.iter().map(move |(name, holds)| (format!("{layer}{name}"), *holds)));
        let after = self
            .after
            .iter()
            .flat_map(|layer| self.in_layer.iter().map(move |(name, holds)| (format!("{name}{layer}"), *holds)));
        let elsewhere = self.elsewhere.iter().map(|(name, holds)| (name.to_string(), *holds));
        let names: Vec<(String, Holds)> = in_layer.chain(after).chain(elsewhere).collect();
        let rooted = self
            .roots
            .iter()
            .flat_map(|root| names.iter().map(move |(name, holds)| (squashed(&format!("{root}{name}")), *holds)));
        rooted.collect()
    }
}

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

/// `name` in lower case with every separator an underscore.
pub(crate) fn squashed(name: &str) -> String {
    let separator = |c: char| matches!(c, '.' | '/' | '-' | ':' | ' ' | '\\' | '[' | ']');
    let squashed: String = name.chars().map(|c| if separator(c) { '_' } else { c.to_ascii_lowercase() }).collect();
    squashed.trim_matches('_').to_string()
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
