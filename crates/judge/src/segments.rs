//! The graph, cut at what was recorded.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Graph, Probe};

/// What must be recomputed to predict each recorded probe.
#[derive(Clone, Debug)]
pub struct Segments {
    /// In the tokens that were recorded: the probe itself and its unrecorded ancestors.
    pub own: BTreeMap<Probe, BTreeSet<Probe>>,
    /// In any token. Where some tokens were not recorded, attention leads back through all that came before it: what it
    /// takes in of those tokens has to be computed from the token ids on.
    pub reach: BTreeMap<Probe, BTreeSet<Probe>>,
    /// Whether some tokens were not recorded, and attention takes them in.
    pub in_part: bool,
    /// The probes that others are computed from: recorded whole, or in whole rows.
    pub given: BTreeSet<Probe>,
}

impl Segments {
    /// Of `recorded`, of which `given` are computed from, of which again `whole` has every token.
    pub fn of(graph: &Graph, recorded: &BTreeSet<Probe>, given: &BTreeSet<Probe>, whole: &BTreeSet<Probe>) -> Segments {
        let own: BTreeMap<Probe, BTreeSet<Probe>> =
            recorded.iter().map(|probe| (*probe, ancestry(graph, *probe, |input| given.contains(input)))).collect();
        let given = given.clone();
        if whole.len() == given.len() {
            return Segments { reach: own.clone(), own, in_part: false, given };
        }
        let with_others = |(probe, own): (&Probe, &BTreeSet<Probe>)| {
            let mut reach = own.clone();
            let inputs = own.iter().filter_map(|inner| graph.node(*inner)?.input_of_other_tokens());
            for input in inputs.filter(|input| !whole.contains(input)) {
                reach.extend(ancestry(graph, input, |earlier| whole.contains(earlier)));
            }
            (*probe, reach)
        };
        let reach: BTreeMap<Probe, BTreeSet<Probe>> = own.iter().map(with_others).collect();
        Segments { in_part: own != reach, own, reach, given }
    }
}

/// `probe` and what it is computed from, up to where `stop` says.
fn ancestry(graph: &Graph, probe: Probe, stop: impl Fn(&Probe) -> bool) -> BTreeSet<Probe> {
    let mut found = BTreeSet::from([probe]);
    let mut open = graph.inputs(probe).to_vec();
    while let Some(input) = open.pop() {
        if input != Probe::TOKEN_IDS && !stop(&input) && found.insert(input) {
            open.extend(graph.inputs(input));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::probe;

    #[test]
    fn a_segment_reaches_back_to_what_was_recorded() {
        let graph = crate::small_graph();
        let first = probe("layers.0.output");
        let second = probe("layers.1.output");
        let recorded = BTreeSet::from([first, second, probe("layers.1.self_attn.q_proj")]);
        let Segments { own, reach, in_part, .. } = Segments::of(&graph, &recorded, &recorded, &recorded);
        // All of layer 1 but q_proj, which was recorded.
        assert_eq!(own[&second].len(), graph.probes().filter(|probe| probe.layer() == Some(1)).count() - 1);
        assert!(own[&first].contains(&probe("embed.raw")));
        assert_eq!(own[&probe("layers.1.self_attn.q_proj")].len(), 3);
        assert!(own == reach && !in_part);
    }

    #[test]
    fn nothing_is_computed_from_some_values() {
        let graph = crate::small_graph();
        let (first, second) = (probe("layers.0.output"), probe("layers.1.output"));
        let segments = Segments::of(&graph, &BTreeSet::from([first, second]), &BTreeSet::new(), &BTreeSet::new());
        assert!(segments.own[&second].contains(&first) && segments.own[&second].contains(&probe("embed.raw")));
        assert!(!segments.in_part);
    }

    #[test]
    fn attention_takes_in_tokens_that_were_not_recorded() {
        let graph = crate::small_graph();
        let all: BTreeSet<Probe> = graph.probes().filter(|probe| *probe != Probe::TOKEN_IDS).collect();
        let segments = Segments::of(&graph, &all, &all, &BTreeSet::new());
        assert!(segments.in_part);
        for (probe, own) in &segments.own {
            assert_eq!(own, &BTreeSet::from([*probe]));
            let others = &segments.reach[probe];
            match (probe.layer(), probe.path()) {
                // Every layer before it, and of its own the way of the keys or of the values.
                (Some(1), "self_attn.scores" | "self_attn.context") => {
                    assert!(
                        ["embed.raw", "layers.0.output"].map(crate::probe).iter().all(|other| others.contains(other))
                    );
                    assert!(!others.contains(&crate::probe("layers.1.self_attn.q_rope")));
                }
                (Some(0), "self_attn.scores" | "self_attn.context") => {
                    assert!(others.contains(&crate::probe("embed.raw")))
                }
                _ => assert_eq!(others, own),
            }
        }
    }
}
