//! A hypothesis: a mistake, and where it is made.

use std::collections::BTreeSet;

use loupe_spec::{Edit, Graph, Mistake, Probe, What};

use crate::segments::Segments;

/// A layer's two halves. Each ends with its addition to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// `input_layernorm` to `residual_attn`.
    Attention,
    /// `pre_feedforward_layernorm` to `output`.
    Feedforward,
}

impl Half {
    /// The half that `probe` is in, if it is in a layer.
    fn of(probe: Probe) -> Option<Half> {
        let joined = probe.beside("residual_attn")?;
        Some(if probe <= joined { Half::Attention } else { Half::Feedforward })
    }
}

/// Where a mistake is made. The order is from plain to particular: of two that fit, the first is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Wherever it can be made.
    Everywhere,
    /// In one half of every layer.
    Half(Half),
    /// At one stage of every layer; the probe is that of layer 0.
    Stage(Probe),
    /// In one layer.
    Layer(usize),
    /// At one probe.
    Site(Probe),
}

impl Scope {
    /// Whether it is a part of what a layer has of this mistake: one stage, or one half.
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
    /// Whether `probe` is computed otherwise if this is so.
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

    /// The change of the graph. In a fine scope it is limited to the probes `touched`.
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

/// The scopes in which to try `mistake` on the stages `probes`, the plainest first.
///
/// Where every stage was recorded, [`Scope::Everywhere`] is enough: each stage is predicted by itself, and the stages that fit say where
/// the mistake is. A segment of several stages or layers has to be tried part by part. So has every layer where some tokens were not
/// recorded: a mistake in one layer of those tokens shows in later layers of the recorded ones.
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
        // With several layers, or where some tokens were not recorded, a mistake in one layer predicts something else than in every
        // layer: the earlier layers of those tokens are right.
        if several_layers || segments.in_part {
            sites.extend(
                touched.iter().filter(|probe| several_stages || probe.layer().is_none()).map(|p| Scope::Site(*p)),
            );
        }
    }
    // A half with one such stage is that stage.
    let of_half = |half: &Half| stages.iter().filter(|stage| Half::of(**stage) == Some(*half)).count();
    let both = [Half::Attention, Half::Feedforward];
    let halves = both.into_iter().filter(|half| of_half(half) > 1 && of_half(half) < stages.len()).map(Scope::Half);
    let stages = stages.iter().copied().map(Scope::Stage);
    let all = std::iter::once(Scope::Everywhere).chain(halves).chain(stages).chain(layers).chain(sites);
    all.map(|scope| Hypothesis { mistake, scope }).collect()
}
