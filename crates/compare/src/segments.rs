//! The graph, cut at what was recorded.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Config, Probe};

/// For each recorded probe, the probes that must be recomputed to predict it: itself and its unrecorded ancestors.
pub fn segments(config: &Config, recorded: &BTreeSet<Probe>) -> BTreeMap<Probe, BTreeSet<Probe>> {
    recorded.iter().map(|probe| (*probe, segment(config, recorded, *probe))).collect()
}

fn segment(config: &Config, recorded: &BTreeSet<Probe>, probe: Probe) -> BTreeSet<Probe> {
    let mut segment = BTreeSet::from([probe]);
    let mut open = probe.inputs(config);
    while let Some(input) = open.pop() {
        if input != Probe::TokenIds && !recorded.contains(&input) && segment.insert(input) {
            open.extend(input.inputs(config));
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use loupe_spec::Stage;

    use super::*;

    #[test]
    fn a_segment_reaches_back_to_what_was_recorded() {
        let config = crate::small_config();
        let first = Probe::Layer(0, Stage::Output);
        let second = Probe::Layer(1, Stage::Output);
        let recorded = BTreeSet::from([first, second, Probe::Layer(1, Stage::QProj)]);
        let segments = segments(&config, &recorded);
        // All of layer 1 but q_proj, which was recorded.
        assert_eq!(segments[&second].len(), Stage::ALL.len() - 1);
        assert!(segments[&first].contains(&Probe::EmbedRaw));
        assert_eq!(segments[&Probe::Layer(1, Stage::QProj)].len(), 3);
    }
}
