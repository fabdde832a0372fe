//! What may be wrong, and where: a mistake with the places it is made in.

use std::collections::BTreeSet;

use loupe_spec::{Edit, Graph, Mistake, Probe, What};

use crate::segments::Segments;

/// A layer's two halves, each of which ends where it joins the residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// `input_layernorm` to `residual_attn`.
    Attention,
    /// `pre_feedforward_layernorm` to `output`.
    Feedforward,
}

impl Half {
    /// The one that `probe` is of, if it is of a layer.
    fn of(probe: Probe) -> Option<Half> {
        let joined = probe.beside("residual_attn")?;
        Some(if probe <= joined { Half::Attention } else { Half::Feedforward })
    }
}

/// Where a mistake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Wherever it can be.
    Everywhere,
    /// In one half of every layer.
    Half(Half),
    /// At one stage of every layer: this of layer 0.
    Stage(Probe),
    /// In one layer.
    Layer(usize),
    /// At one probe.
    Site(Probe),
}

impl Scope {
    /// Whether it is one stage, or a layer's half, among several that the mistake is made at.
    pub fn is_fine(self) -> bool {
        matches!(self, Scope::Half(_) | Scope::Stage(_) | Scope::Site(_))
    }
}

/// A mistake in a scope.
#[derive(Clone, Copy, Debug)]
pub struct Hypothesis {
    pub mistake: &'static Mistake,
    pub scope: Scope,
}

impl Hypothesis {
    /// Whether it changes how `probe` is computed.
    pub fn touches(&self, probe: Probe) -> bool {
        let inside = match self.scope {
            Scope::Everywhere => true,
            Scope::Half(half) => Half::of(probe) == Some(half),
            Scope::Stage(stage) => probe.of_layer(0) == stage,
            Scope::Layer(layer) => probe.layer() == Some(layer),
            Scope::Site(site) => probe == site,
        };
        inside && (self.mistake.at)(probe)
    }

    /// As a replay plants it: at one stage only where it is `touched`.
    pub fn edit(&self, graph: &Graph, touched: &BTreeSet<Probe>) -> Edit {
        let what = What::Mistake(self.mistake);
        match self.scope {
            Scope::Everywhere => Edit::everywhere(what, graph),
            Scope::Layer(layer) => Edit::within(what, graph, |probe| probe.layer() == Some(layer)),
            Scope::Half(_) | Scope::Stage(_) | Scope::Site(_) => {
                Edit { what, sites: touched.iter().copied().collect() }
            }
        }
    }
}

/// The scopes to try `mistake` in on the stages of `probes`, the plainest first. A recording that is cut at every stage
/// needs only the first: each of its stages is predicted by itself, and shows where the mistake is. Segments that hide
/// several stages need more; and where tokens were not recorded, what was made in one layer of theirs is seen in others.
pub fn scopes(mistake: &'static Mistake, segments: &Segments, probes: &BTreeSet<Probe>) -> Vec<Hypothesis> {
    let (mut stages, mut layers, mut sites) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    if segments.in_part {
        let reach = probes.iter().filter_map(|probe| segments.reach.get(probe)).flatten();
        let own = reach.filter(|probe| (mistake.at)(**probe)).filter_map(|probe| probe.layer());
        layers.extend(own.map(Scope::Layer));
    }
    for segment in probes.iter().filter_map(|probe| segments.own.get(probe)) {
        let touched: BTreeSet<Probe> = segment.iter().copied().filter(|probe| (mistake.at)(*probe)).collect();
        let own_layers: BTreeSet<Option<usize>> = touched.iter().map(|probe| probe.layer()).collect();
        let several_layers = own_layers.len() > 1;
        let several_stages = touched.len() > own_layers.len();
        if several_stages {
            let in_layers = touched.iter().filter(|probe| probe.layer().is_some());
            stages.extend(in_layers.map(|probe| probe.of_layer(0)));
        }
        if several_layers {
            layers.extend(own_layers.iter().flatten().map(|layer| Scope::Layer(*layer)));
        }
        // What is made at one stage of every layer changes what attention takes in of tokens that were not recorded: at
        // one stage of one layer it is another mistake, also where only that layer is recomputed.
        if several_layers || segments.in_part {
            sites.extend(
                touched.iter().filter(|probe| several_stages || probe.layer().is_none()).map(|p| Scope::Site(*p)),
            );
        }
    }
    // A half of which one stage is touched is that stage.
    let of_half = |half: &Half| stages.iter().filter(|stage| Half::of(**stage) == Some(*half)).count();
    let both = [Half::Attention, Half::Feedforward];
    let halves = both.into_iter().filter(|half| of_half(half) > 1 && of_half(half) < stages.len()).map(Scope::Half);
    let stages = stages.iter().copied().map(Scope::Stage);
    let all = std::iter::once(Scope::Everywhere).chain(halves).chain(stages).chain(layers).chain(sites);
    all.map(|scope| Hypothesis { mistake, scope }).collect()
}
