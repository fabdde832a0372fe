//! Which probe point each of a candidate's names is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use loupe_spec::{NameEntry, Probe, nearest};

use crate::counting::Counting;
use crate::dialects::{ALL, Holds, squashed};
use crate::found::{Found, found};
use crate::meaning::{Meaning, Whose};
use crate::reading::neighbour;

/// Every name of a candidate with what it means.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// In the order of the file.
    pub entries: Vec<(String, Meaning)>,
    /// How many names are whose.
    pub sources: BTreeMap<Whose, usize>,
    /// How many layers the model has, or seems to.
    pub layers: usize,
    /// How the names count them.
    pub counting: Counting,
    /// No name is of layer 0.
    begins_later: bool,
    /// Those that mean one thing: Loupe's own, which are a file format, and those that the config maps.
    exact: HashSet<String>,
}

impl Names {
    /// Of `names`, by the config's `entries`, Loupe's own names and the dialects, in this order; `layers` is the model's
    /// count, where the model is known.
    pub fn of(names: &[String], entries: &[NameEntry], layers: Option<usize>) -> Names {
        Names::counted(names, entries, layers, None)
    }

    /// The same with layers counted in a way that is given; `None`: as the numbers say.
    pub fn counted(
        names: &[String],
        entries: &[NameEntry],
        layers: Option<usize>,
        counting: Option<Counting>,
    ) -> Names {
        let order = by_likeness(names);
        let found: Vec<Found> = names.iter().map(|name| found(name, entries, &order)).collect();
        let named: BTreeSet<Probe> = found.iter().filter_map(|found| found.in_layer()).collect();
        let counting = counting.or(layers.map(|layers| Counting::of(&named, layers))).unwrap_or_default();
        let layers = layers.unwrap_or_else(|| layers_of(names, &order));
        let (mut sources, mut exact) = (BTreeMap::new(), HashSet::new());
        let meaning = |(name, found): (&String, Found)| {
            let meaning = found.holds.meaning(layers, counting);
            let source = found.source.filter(|_| !matches!(meaning, Meaning::Unknown(_)));
            if matches!(source, Some(Whose::Config | Whose::Loupe)) && counting != Counting::States {
                exact.insert(name.clone());
            }
            source.into_iter().for_each(|source| *sources.entry(source).or_insert(0) += 1);
            (name.clone(), meaning)
        };
        let mut entries: Vec<(String, Meaning)> = names.iter().zip(found).map(meaning).collect();
        like(&mut entries, layers);
        let begins_later = named.first().and_then(|first| first.layer()).is_some_and(|first| first > 0);
        Names { entries, sources, layers, counting, begins_later, exact }
    }

    /// Whether layers may be counted from 1 though no number says so: there is no layer 0.
    pub fn may_count_from_one(&self) -> bool {
        self.begins_later && self.counting == Counting::FromZero
    }

    /// Whose names these are, in one line: `Hugging Face modules (57), Loupe's probe points (2)`.
    pub fn line(&self) -> String {
        let mut sources: Vec<(&Whose, &usize)> = self.sources.iter().collect();
        sources.sort_by_key(|(source, count)| (std::cmp::Reverse(**count), **source));
        match sources.as_slice() {
            [(source, _)] => source.name().to_string(),
            many => {
                many.iter().map(|(source, count)| format!("{} ({count})", source.name())).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Whether `name` means one thing.
    pub fn is_exact(&self, name: &str) -> bool {
        self.exact.contains(name)
    }

    /// What a tensor may hold whose name means `probes`, beside the first of them.
    pub fn others(&self, probes: &[Probe]) -> Vec<Probe> {
        let mut others: Vec<Probe> = probes.iter().skip(1).copied().collect();
        for neighbour in probes.iter().filter_map(|probe| neighbour(*probe, self.layers)) {
            if !probes.contains(&neighbour) && !others.contains(&neighbour) {
                others.push(neighbour);
            }
        }
        others
    }

    /// Whether all of them are Loupe's own.
    pub fn are_ours(&self) -> bool {
        self.sources.keys().all(|source| *source == Whose::Loupe)
    }
}

/// Whether any program has a tensor of this name.
pub(crate) fn is_known(name: &str) -> bool {
    std::iter::once(Whose::Loupe).chain((0..ALL.len()).map(Whose::Dialect)).any(|whose| whose.look_up(name).is_some())
}

/// Loupe's own names and the dialects, that which knows most of `names` first: some names mean one thing here and another
/// there, as `logits` does, before the cap or after it.
fn by_likeness(names: &[String]) -> Vec<Whose> {
    let known = |source: &Whose| names.iter().filter(|name| source.look_up(name).is_some()).count();
    let mut order: Vec<Whose> = std::iter::once(Whose::Loupe).chain((0..ALL.len()).map(Whose::Dialect)).collect();
    order.sort_by_cached_key(|source| std::cmp::Reverse(known(source)));
    order
}

/// How many layers a model has whose dump has these names, where nothing else says: hidden states count one more.
fn layers_of(names: &[String], order: &[Whose]) -> usize {
    let last = |name: &String| {
        order.iter().find_map(|source| source.look_up(name)).map(|(holds, layer)| match holds {
            Holds::HiddenState => layer,
            Holds::HiddenStates => 0,
            _ => layer + 1,
        })
    };
    names.iter().filter_map(last).max().unwrap_or(0)
}

/// So many unknown names are likened to ours.
const MOST_LIKENED: usize = 100;

/// Says which of our names an unknown one is most like.
fn like(entries: &mut [(String, Meaning)], layers: usize) {
    let unknown = entries.iter_mut().filter(|(_, meaning)| matches!(meaning, Meaning::Unknown(_)));
    for (name, meaning) in unknown.take(MOST_LIKENED) {
        // Its own layer's names are those that it may be like.
        let digits: Vec<usize> = name.split(|c: char| !c.is_ascii_digit()).filter_map(|run| run.parse().ok()).collect();
        let layer = digits.into_iter().find(|layer| *layer < layers).unwrap_or(0);
        // A layer's number alone makes no name like another: "layer 3 foo" is held against the stages as "foo".
        let number = layer.to_string();
        let stage =
            name.split_once(&number).map_or("", |(_, rest)| rest).trim_start_matches(|c: char| !c.is_alphabetic());
        let own = squashed(if stage.is_empty() { name } else { stage });
        let mut known: Vec<(String, Probe)> = Vec::new();
        for probe in Probe::each().map(|probe| probe.of_layer(layer)) {
            let last = probe.path().rsplit('.').next().filter(|_| probe.layer().is_some());
            known.extend(std::iter::once(probe.path()).chain(last).map(|path| (squashed(path), probe)));
        }
        // Of a layer's "attn_norm" the norm after the last is no part.
        let is_end = |(known, probe): &&(String, Probe)| {
            own == *known || (probe.layer().is_some() && own.ends_with(&format!("_{known}")))
        };
        let ends = known.iter().filter(is_end);
        let ends = ends.max_by_key(|(known, _)| known.len()).map(|(known, _)| known.as_str());
        let near = ends.or_else(|| nearest(&own, known.iter().map(|(known, _)| known.as_str())));
        let near =
            near.and_then(|near| known.iter().find(|(known, _)| known == near)).map(|(_, probe)| probe.to_string());
        *meaning = Meaning::Unknown(near);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(names: &[&str], entries: &[(&str, &str)]) -> Names {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let entries: Vec<NameEntry> = entries.iter().map(|(a, b)| NameEntry::new(a, b).unwrap()).collect();
        Names::of(&names, &entries, Some(2))
    }

    /// The probe that each name says it is, `-` where it says none.
    fn said(names: &[&str], entries: &[(&str, &str)]) -> Vec<String> {
        let said = |(_, meaning): (String, Meaning)| match meaning {
            Meaning::Values(probes) => probes[0].to_string(),
            Meaning::Fused(probes) => probes.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"),
            _ => "-".to_string(),
        };
        of(names, entries).entries.into_iter().map(said).collect()
    }

    #[test]
    fn each_dialect_is_found_by_itself() {
        for (line, names, probes) in [
            (
                "Hugging Face modules",
                &["model.layers.1.mlp.act_fn", "model.layers.0", "lm_head", "hidden_states.0", "hidden_states.1"][..],
                &["layers.1.mlp.act", "layers.0.output", "logits.raw", "embed.scaled", "layers.0.output"][..],
            ),
            (
                "Hugging Face modules",
                &["hidden_states.2", "attentions.1", "model.layers.1.self_attn.output.0"],
                &["norm", "layers.1.self_attn.probs", "layers.1.self_attn.o_proj"],
            ),
            (
                "llama.cpp's graph",
                &["attn_norm-0", "Qcur-1", "kq-0", "l_out-0", "result_output"],
                &[
                    "layers.0.input_layernorm",
                    "layers.1.self_attn.q_rope",
                    "layers.0.self_attn.scores",
                    "layers.0.output",
                    "logits",
                ],
            ),
            (
                "TransformerLens hooks",
                &["blocks.0.attn.hook_q", "blocks.1.hook_resid_post", "blocks.1.attn.hook_pattern", "hook_embed"],
                &["layers.0.self_attn.q_proj", "layers.1.output", "layers.1.self_attn.probs", "embed.scaled"],
            ),
            (
                "DOPPLER stages",
                &["layer_1/attn_core_out", "layer_0/post_input_norm", "embed_out", "logits_final", "logits"],
                &["layers.1.self_attn.context", "layers.0.input_layernorm", "embed.scaled", "logits", "logits.raw"],
            ),
            (
                "vLLM modules",
                &[
                    "model.layers.0.self_attn.qkv_proj",
                    "model.layers.1.mlp.gate_up_proj",
                    "model.layers.0.self_attn.attn",
                ],
                &[
                    "layers.0.self_attn.q_proj+layers.0.self_attn.k_proj+layers.0.self_attn.v_proj",
                    "layers.1.mlp.gate_proj+layers.1.mlp.up_proj",
                    "layers.0.self_attn.context",
                ],
            ),
            (
                "short names",
                &["layer_1_q", "layer_0_mlp_out"],
                &["layers.1.self_attn.q_proj", "layers.0.mlp.down_proj"],
            ),
        ] {
            let found = of(names, &[]);
            assert!(found.line().starts_with(line), "{names:?}: {}", found.line());
            assert_eq!(said(names, &[]), probes);
        }
    }

    #[test]
    fn the_config_goes_first_and_layers_that_are_not_there_are_said() {
        assert_eq!(said(&["model.norm", "x"], &[("model.norm", "logits"), ("x", "norm")]), ["logits", "norm"]);
        assert_eq!(said(&["e.norm", "e.layers.1.mlp"], &[("e.*", "*")]), ["norm", "layers.1.mlp.down_proj"]);
        assert_eq!(said(&["layers.0.mlp.act", "layers.2.mlp.act"], &[]), ["layers.0.mlp.act", "-"]);
        assert_eq!(said(&["layers.3.output", "hidden_states.3"], &[]), ["-", "-"]);
    }

    #[test]
    fn the_last_number_says_how_layers_are_counted() {
        assert_eq!(said(&["layers.1.mlp.act", "l_out-2"], &[]), ["layers.0.mlp.act", "layers.1.output"]);
        let states = ["layers.0.output", "layers.1.output", "layers.2.output", "layers.1.mlp.act"];
        assert_eq!(said(&states, &[]), ["embed.scaled", "layers.0.output", "norm", "layers.1.mlp.act"]);
        // An entry that names a layer means that layer; a pattern counts as the names do.
        let entries = [("x", "layers.1.mlp.act"), ("out{l}", "layers.{l}.output")];
        assert_eq!(said(&["x", "out1", "out2"], &entries), ["layers.1.mlp.act", "layers.0.output", "layers.1.output"]);
        assert!(of(&["layers.1.output"], &[]).may_count_from_one());
        for names in
            [&["layers.0.output", "layers.1.output"][..], &["hidden_states.2"], &["layers.2.output"], &["norm"]]
        {
            assert!(!of(names, &[]).may_count_from_one(), "{names:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_likened_to_those_of_its_layer() {
        let found = of(&["engine.1.layers.1.mlp.gate_proj", "layers.1.otput", "zzz"], &[]);
        let near = |at: usize| match &found.entries[at].1 {
            Meaning::Unknown(near) => near.clone(),
            _ => None,
        };
        assert_eq!(near(0).as_deref(), Some("layers.1.mlp.gate_proj"));
        assert_eq!(near(1).as_deref(), Some("layers.1.output"));
        assert_eq!(near(2), None);
    }
}
