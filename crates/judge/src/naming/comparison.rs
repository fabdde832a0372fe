//! The candidate beside the reference, in which the mistakes found so far are planted; and one more mistake tried.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{
    Edit, Given, Kind, Mistake, MistakeKind, Precision, Probe, Replay, ReplayError, Replayer, Rounding, Trace, What,
};

use crate::limits::{NEARER, SHARE_OF_A_CAST};
use crate::naming::hypothesis::{Hypothesis, Scope};
use crate::naming::slope::{Slope, Sums};
use crate::noise::measure;
use crate::segments::Segments;
use crate::stage::{Fit, Stage};

/// Comparing a value takes about as long as using so many weights of a matrix. Least squares over the hypotheses of two verdicts at 2B's
/// shape, on two cores: 71 ns and 1.8 ns (all stages), 181 ns and 1.1 ns (layer outputs). It is for an estimate of what is left, and
/// decides nothing.
const WEIGHTS_PER_VALUE: usize = 60;

/// What every step of the search works on. It changes when a mistake is found: that is planted, and the stages are predicted anew.
pub struct Comparison<'a> {
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// What was recorded.
    pub given: Given<'a>,
    /// For each recorded probe, the stages that are recomputed to predict it.
    pub segments: &'a Segments,
    /// The candidate's precision.
    pub precision: Precision,
    /// The recorded stages, each with its prediction by the reference with what is planted.
    pub stages: Vec<Stage>,
    /// The mistakes found so far.
    pub planted: Vec<Edit>,
    /// The inputs of layers after the first that were not recorded (the residual stream), computed with what is planted. A mistake in
    /// a later layer changes nothing before that layer, so trying it starts from here and not from the token ids.
    stream: Trace,
}

/// What to plant in the reference.
#[derive(Clone)]
pub struct Planting {
    /// The changes of the graph.
    pub edits: Vec<Edit>,
    /// The probes that they change.
    pub sites: BTreeSet<Probe>,
}

/// A hypothesis that was tried: how the reference with it planted compares with the recordings.
pub struct Trial {
    pub hypothesis: Hypothesis,
    /// For each recorded stage that was tried and that the mistake can change, how well it fits the prediction with the mistake.
    pub fits: BTreeMap<Probe, Fit>,
    /// The predictions with the mistake that `sums` compare with: exact; or rounded after every operation, see
    /// [`Comparison::is_compared_rounded`].
    pub compared: Trace,
    /// The sums of the regression, for each stage.
    pub sums: BTreeMap<Probe, Sums>,
    /// Below the limits it seemed to be there, and a second look did not confirm it.
    pub unconfirmed: bool,
}

impl<'a> Comparison<'a> {
    pub fn open(
        replayer: &'a dyn Replayer,
        given: Given<'a>,
        segments: &'a Segments,
        stages: &[Stage],
        precision: Precision,
    ) -> Result<Comparison<'a>, ReplayError> {
        let (stages, planted, stream) = (stages.to_vec(), Vec::new(), Trace::new());
        let mut comparison = Comparison { replayer, given, segments, precision, stages, planted, stream };
        comparison.stream = comparison.stream_now()?;
        Ok(comparison)
    }

    /// The inputs of the layers that were not recorded; where some tokens were not recorded, of all layers.
    fn stream_now(&self) -> Result<Trace, ReplayError> {
        let given = &self.segments.given;
        let begins = |probe: &&Probe| {
            (probe.path() == "input" && probe.layer() > Some(0))
                && (self.segments.in_part
                    || (!given.contains(*probe)
                        && self.replayer.graph().inputs(**probe).iter().all(|input| !given.contains(input))))
        };
        let wanted: BTreeSet<Probe> = self.segments.reach.values().flatten().filter(begins).copied().collect();
        if wanted.is_empty() {
            return Ok(Trace::new());
        }
        let mut stream = self.replay(self.given, &wanted, &self.planted)?;
        // Where an input was recorded in some rows, those rows are the recorded ones.
        for stage in self.stages.iter().filter(|stage| wanted.contains(&stage.probe) && given.contains(&stage.probe)) {
            if let Some(tensor) = stream.get_mut(&stage.probe) {
                *tensor = stage.in_place(tensor);
            }
        }
        Ok(stream)
    }

    fn replay(&self, given: Given<'_>, wanted: &BTreeSet<Probe>, mistakes: &[Edit]) -> Result<Trace, ReplayError> {
        let simulation = self.precision.simulation(Rounding::Exact);
        self.replayer.replay(Replay { given, wanted, mistakes, simulation })
    }

    /// The stages beyond their limit.
    pub fn failing(&self) -> BTreeSet<Probe> {
        let failing = self.stages.iter().filter(|stage| !stage.fit(&stage.exact).passes());
        failing.map(|stage| stage.probe).collect()
    }

    /// By how many bits the predictions `predicted` explain the stages `probes` better than the reference as it is now.
    pub fn bits(&self, probes: &BTreeSet<Probe>, predicted: &Trace) -> f64 {
        let stages = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        stages.filter_map(|stage| Some(stage.bits(&stage.seen(predicted.get(&stage.probe)?)))).sum()
    }

    /// The same of predictions that hit every recorded value: no mistake can explain more.
    pub fn most_bits(&self, probes: &BTreeSet<Probe>) -> f64 {
        let stages = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        stages.map(|stage| stage.bits(&stage.recorded)).sum()
    }

    /// The stages by name.
    pub fn by_probe(&self) -> BTreeMap<Probe, &Stage> {
        self.stages.iter().map(|stage| (stage.probe, stage)).collect()
    }

    /// The recorded stages that change when the probes picked by `touches` change.
    pub fn affected(&self, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        let touched = |(_, reach): &(&Probe, &BTreeSet<Probe>)| reach.iter().any(|inner| touches(*inner));
        self.segments.reach.iter().filter(touched).map(|(probe, _)| *probe).collect()
    }

    /// Of the stages that are recomputed to predict `recorded`, those picked by `touches`: in any token.
    pub fn touched(&self, recorded: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        picked(&self.segments.reach, recorded, touches)
    }

    /// The same, in the recorded tokens alone.
    pub fn touched_own(&self, recorded: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        picked(&self.segments.own, recorded, touches)
    }

    /// Where a mistake that shows in `stages` was made: in the recorded tokens if it can have been, else in the others.
    pub fn sites(&self, stages: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool + Copy) -> BTreeSet<Probe> {
        let own = self.touched_own(stages, touches);
        if own.is_empty() { self.touched(stages, touches) } else { own }
    }

    /// How many weights must be read to predict `recorded` with the probes picked by `touches` changed. Of the embedding only the
    /// prompt's rows count; of tokens that were not recorded, only what comes after the first change.
    pub fn weights_read(&self, recorded: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool) -> usize {
        let graph = self.replayer.graph();
        let first = self.touched(recorded, touches).first().and_then(|probe| probe.layer());
        let read = |probe: &Probe| match probe.kind() {
            Kind::Embed => self.replayer.tokens() * graph.config().hidden_size,
            _ => graph.weight(*probe).map_or(0, |weight| graph.weight_shape(weight).iter().product()),
        };
        let own: usize = recorded.iter().flat_map(|probe| &self.segments.own[probe]).map(read).sum();
        let others: BTreeSet<&Probe> = recorded
            .iter()
            .flat_map(|probe| self.segments.reach[probe].difference(&self.segments.own[probe]))
            .collect();
        own + others.into_iter().filter(|probe| probe.layer() >= first).map(read).sum::<usize>()
    }

    /// `edits` after what is planted.
    pub fn with(&self, edits: &[Edit]) -> Vec<Edit> {
        self.planted.iter().chain(edits).cloned().collect()
    }

    /// Predicts `wanted` with `edits` planted as well. `first` is the first probe that they change.
    pub fn predict(
        &self,
        edits: &[Edit],
        first: Option<Probe>,
        wanted: &BTreeSet<Probe>,
    ) -> Result<Trace, ReplayError> {
        let before = self.stream.iter().filter(|(probe, _)| first.is_some_and(|first| **probe < first));
        let mut trace = self.given.trace.clone();
        trace.extend(before.map(|(probe, tensor)| (*probe, tensor.clone())));
        self.replay(Given { trace: &trace, ..self.given }, wanted, &self.with(edits))
    }

    /// Tries each hypothesis on its stages; whoever watches is told that this is `what`.
    pub fn attempts(&self, what: &str, planned: Vec<(Hypothesis, BTreeSet<Probe>)>) -> Result<Vec<Trial>, ReplayError> {
        let price = |(hypothesis, wanted): &(Hypothesis, BTreeSet<Probe>)| {
            let stages = self.stages.iter().filter(|stage| wanted.contains(&stage.probe));
            let values: usize = stages.map(|stage| stage.layout.elements).sum();
            self.weights_read(wanted, |probe| hypothesis.touches(probe)) + WEIGHTS_PER_VALUE * values
        };
        self.replayer.begins(what, planned.iter().map(price).sum());
        let attempt = |planned: (Hypothesis, BTreeSet<Probe>)| {
            self.replayer.part(price(&planned));
            self.attempt(planned.0, &planned.1)
        };
        planned.into_iter().map(attempt).collect()
    }

    /// Tries `hypothesis` on those stages of `wanted` that it changes.
    pub fn attempt(&self, hypothesis: Hypothesis, wanted: &BTreeSet<Probe>) -> Result<Trial, ReplayError> {
        let touches = |probe| hypothesis.touches(probe);
        let affected: BTreeSet<Probe> = self.affected(touches).intersection(wanted).copied().collect();
        let touched = self.touched(&affected, touches);
        let edits = [hypothesis.edit(self.replayer.graph(), &touched)];
        let predicted = self.predict(&edits, touched.first().copied(), &affected)?;
        let mut fits = BTreeMap::new();
        let mut nearer = BTreeSet::new();
        let policy = hypothesis.mistake.kind == MistakeKind::DtypePolicy;
        for stage in self.stages.iter().filter(|stage| predicted.contains_key(&stage.probe)) {
            let fit = stage.fit(&stage.seen(&predicted[&stage.probe]));
            let right = stage.fit(&stage.exact);
            // Wrong code may have more noise than right code. Where the prediction comes near, it is judged by its own noise.
            if !fit.passes() && !right.passes() && (policy || fit.size() < NEARER * right.size()) {
                nearer.insert(stage.probe);
            }
            fits.insert(stage.probe, fit);
        }
        for stage in self.noisy(&nearer, &self.with(&edits))? {
            fits.insert(stage.probe, stage.fit(&stage.exact));
        }
        let (compared, sums) = if self.is_compared_rounded(hypothesis.mistake) {
            // Most misplaced casts change nothing in exact arithmetic: both predictions are rounded after every operation, one of them
            // with the cast misplaced.
            let simulation = self.precision.simulation(Rounding::EveryOperation);
            let mistakes = self.with(&edits);
            let rounded = self.replayer.replay(Replay {
                given: self.given,
                wanted: &affected,
                mistakes: &mistakes,
                simulation,
            })?;
            let sums = self.sums(&rounded, |stage| (stage.rounded(), stage.other_rounding()));
            (rounded, sums)
        } else {
            let sums = self.sums(&predicted, |stage| (&stage.exact, stage.noise.clone()));
            (predicted, sums)
        };
        Ok(Trial { hypothesis, compared, fits, sums, unconfirmed: false })
    }

    /// Whether `mistake` is a misplaced cast in a run that is stored in 16 bits: it is compared by how values round.
    pub fn is_compared_rounded(&self, mistake: &Mistake) -> bool {
        mistake.kind == MistakeKind::DtypePolicy && self.precision.storage.significand_bits() < 24
    }

    /// The stages `probes`, predicted with `mistakes` planted, and with the noise of those predictions.
    pub fn noisy(&self, probes: &BTreeSet<Probe>, mistakes: &[Edit]) -> Result<Vec<Stage>, ReplayError> {
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let noise = measure(self.replayer, self.given, probes, mistakes, self.precision)?;
        let asked = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        Ok(asked.filter_map(|stage| stage.again(&noise)).collect())
    }

    fn sums(&self, predicted: &Trace, right: impl Fn(&Stage) -> (&[f64], Vec<Vec<f64>>)) -> BTreeMap<Probe, Sums> {
        let of = |stage: &Stage| {
            let mistaken = stage.seen(predicted.get(&stage.probe)?);
            let (right, noise) = right(stage);
            Some((stage.probe, Sums::of(stage, right, &mistaken, &noise)))
        };
        self.stages.iter().filter_map(of).collect()
    }

    /// What to plant for `hypothesis`: at the probes that can have changed `stages`; if `everywhere`, wherever the hypothesis allows.
    pub fn planting(&self, hypothesis: Hypothesis, stages: &BTreeSet<Probe>, everywhere: bool) -> Planting {
        let recorded = if everywhere { self.segments.own.keys().copied().collect() } else { stages.clone() };
        let sites = self.sites(&recorded, |probe| hypothesis.touches(probe));
        let what = What::Mistake(hypothesis.mistake);
        let edit = match everywhere && hypothesis.scope == Scope::Everywhere {
            true => Edit::everywhere(what, self.replayer.graph()),
            false => Edit { what, sites: sites.iter().copied().collect() },
        };
        Planting { edits: vec![edit], sites }
    }

    /// Those of `sites` at which the mistake changes anything that was recorded: another window changes nothing in a layer without
    /// one.
    pub fn changed(&self, trial: &Trial, sites: &BTreeSet<Probe>) -> BTreeSet<Probe> {
        let is_unchanged = |stage: &Probe| trial.sums.get(stage).is_some_and(|sums| !sums.is_there());
        let shows = |site: &&Probe| {
            let mut reached = self.segments.reach.iter().filter(|(_, reach)| reach.contains(*site));
            !reached.all(|(stage, _)| is_unchanged(stage))
        };
        let changed: BTreeSet<Probe> = sites.iter().filter(shows).copied().collect();
        if changed.is_empty() { sites.clone() } else { changed }
    }

    /// Plants a mistake that was found, for the rest of the search.
    pub fn plant(&mut self, Planting { edits, sites }: &Planting) -> Result<(), ReplayError> {
        self.planted.extend_from_slice(edits);
        self.replayer.begins("the stages again, with what was found", 1);
        for new in self.noisy(&self.affected(|probe| sites.contains(&probe)), &self.planted)? {
            if let Some(old) = self.stages.iter_mut().find(|old| old.probe == new.probe) {
                *old = new;
            }
        }
        self.stream = self.stream_now()?;
        Ok(())
    }
}

/// The probes picked by `touches` in the `segments` of `recorded`.
fn picked(
    segments: &BTreeMap<Probe, BTreeSet<Probe>>,
    recorded: &BTreeSet<Probe>,
    touches: impl Fn(Probe) -> bool,
) -> BTreeSet<Probe> {
    let inner = recorded.iter().filter_map(|probe| segments.get(probe)).flatten();
    inner.copied().filter(|probe| touches(*probe)).collect()
}

impl Trial {
    /// The stages of `open` that this mistake explains: they pass with it planted, and their slope is near 1. A stage of few values
    /// has a slope that is not known well: there it is enough to agree, if all stages together have a slope near 1.
    pub fn explained(&self, open: &BTreeSet<Probe>) -> BTreeSet<Probe> {
        let passes = |probe: &Probe| self.fits.get(probe).is_some_and(|fit| fit.passes());
        let fitting: BTreeSet<Probe> = open.iter().copied().filter(passes).collect();
        let together = self.slope(fitting.iter().copied()).earns();
        let earned = |probe: &Probe| {
            let slope = self.slope(std::iter::once(*probe));
            slope.earns() || (together && slope.agrees())
        };
        fitting.into_iter().filter(earned).collect()
    }

    /// How many stages outside `failing` would fail with the mistake planted.
    pub fn breaks(&self, failing: &BTreeSet<Probe>) -> usize {
        self.fits.iter().filter(|(probe, fit)| !failing.contains(probe) && !fit.passes()).count()
    }

    /// The slope over `probes`.
    pub fn slope(&self, probes: impl Iterator<Item = Probe>) -> Slope {
        Slope::of(probes.filter_map(|probe| self.sums.get(&probe)).collect::<Vec<&Sums>>().into_iter())
    }

    /// The slope over all stages that the mistake changes.
    pub fn whole_slope(&self) -> Slope {
        Slope::of(self.sums.values())
    }

    /// The stages that the mistake changes, by layer.
    pub fn layers(&self) -> BTreeMap<Option<usize>, BTreeSet<Probe>> {
        let mut layers: BTreeMap<Option<usize>, BTreeSet<Probe>> = BTreeMap::new();
        for probe in self.sums.keys() {
            layers.entry(probe.layer()).or_default().insert(*probe);
        }
        layers
    }

    /// The stages whose slope is nearer to 1 than to 0, in layers whose slope is. Stages in which it changes nothing that
    /// has noise are included.
    pub fn likelier(&self) -> BTreeSet<Probe> {
        let likelier = |probes: &BTreeSet<Probe>| {
            let slope = self.slope(probes.iter().copied());
            slope.beta > 0.5 || slope.information == 0.0
        };
        let layers = self.layers().into_values().filter(likelier);
        layers.flatten().filter(|probe| likelier(&BTreeSet::from([*probe]))).collect()
    }

    /// Whether `slope` says that the mistake was made. Of a misplaced cast, at least half of the residual's
    /// square must also be gone with it planted: see [`SHARE_OF_A_CAST`].
    pub fn shows(&self, slope: Slope) -> bool {
        slope.present()
            && !self.unconfirmed
            && (self.hypothesis.mistake.kind != MistakeKind::DtypePolicy || slope.removed >= SHARE_OF_A_CAST)
    }

    /// Whether `slope` says that the mistake was made, or that it was not.
    pub fn decides(&self, slope: Slope) -> bool {
        if slope.present() { self.shows(slope) } else { slope.decides() }
    }
}
