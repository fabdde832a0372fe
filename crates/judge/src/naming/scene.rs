//! The candidate beside the reference with the mistakes that were found so far: what is still unexplained.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{
    Edit, Given, Kind, Mistake, MistakeKind, Probe, Replay, ReplayError, Replayer, Rounding, Trace, What,
};

use crate::limits::{NEARER, SHARE_OF_A_CAST};
use crate::naming::hypothesis::{Hypothesis, Scope};
use crate::naming::slope::{Part, Slope};
use crate::noise::{Level, measure};
use crate::segments::Segments;
use crate::stage::{Fit, Stage};

/// What the naming works on.
pub struct Scene<'a> {
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// What was recorded.
    pub given: Given<'a>,
    /// What each recorded probe is recomputed through.
    pub segments: &'a Segments,
    /// The candidate's precision.
    pub level: Level,
    /// The recorded stages, predicted with what is planted.
    pub stages: Vec<Stage>,
    /// What was found so far.
    pub planted: Vec<Edit>,
    /// The stream into layers that begin inside a segment, with what is planted: a mistake further on changes nothing
    /// before it.
    stream: Trace,
}

/// Something wrong, and where.
#[derive(Clone)]
pub struct Made {
    /// What it is.
    pub edits: Vec<Edit>,
    /// The probes at which it is made.
    pub sites: BTreeSet<Probe>,
}

/// One hypothesis held against the recordings.
pub struct Trial {
    pub hypothesis: Hypothesis,
    /// How well the recorded stages that it changes fit as it would have them.
    pub fits: BTreeMap<Probe, Fit>,
    /// The prediction that `parts` are of: rounded where transformers rounds for a cast in another place.
    pub compared: Trace,
    /// Sums for the slope, stage by stage.
    pub parts: BTreeMap<Probe, Part>,
    /// It seemed present below the budget, and a second look said that right code looks like that too.
    pub refuted: bool,
}

impl<'a> Scene<'a> {
    pub fn open(
        replayer: &'a dyn Replayer,
        given: Given<'a>,
        segments: &'a Segments,
        stages: &[Stage],
        level: Level,
    ) -> Result<Scene<'a>, ReplayError> {
        let (stages, planted, stream) = (stages.to_vec(), Vec::new(), Trace::new());
        let mut scene = Scene { replayer, given, segments, level, stages, planted, stream };
        scene.stream = scene.stream_now()?;
        Ok(scene)
    }

    /// The inputs of layers that begin inside a segment; where tokens were not recorded, of all layers.
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
        // Of a recorded input it is the prediction: the layer itself starts from the recorded rows.
        for stage in self.stages.iter().filter(|stage| wanted.contains(&stage.probe) && given.contains(&stage.probe)) {
            if let Some(tensor) = stream.get_mut(&stage.probe) {
                *tensor = stage.in_place(tensor);
            }
        }
        Ok(stream)
    }

    fn replay(&self, given: Given<'_>, wanted: &BTreeSet<Probe>, mistakes: &[Edit]) -> Result<Trace, ReplayError> {
        let simulation = self.level.simulation(Rounding::Exact);
        self.replayer.replay(Replay { given, wanted, mistakes, simulation })
    }

    /// The stages that do not pass.
    pub fn failing(&self) -> BTreeSet<Probe> {
        let failing = self.stages.iter().filter(|stage| !stage.fit(&stage.exact).passes());
        failing.map(|stage| stage.probe).collect()
    }

    /// The bits by which `predicted` explains the stages `probes`, over what is planted.
    pub fn bits(&self, probes: &BTreeSet<Probe>, predicted: &Trace) -> f64 {
        let stages = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        stages.filter_map(|stage| Some(stage.bits(&stage.seen(predicted.get(&stage.probe)?)))).sum()
    }

    /// The bits by which the best of all predictions would explain the stages `probes`.
    pub fn most_bits(&self, probes: &BTreeSet<Probe>) -> f64 {
        let stages = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        stages.map(|stage| stage.bits(&stage.recorded)).sum()
    }

    /// The stages by name.
    pub fn by_probe(&self) -> BTreeMap<Probe, &Stage> {
        self.stages.iter().map(|stage| (stage.probe, stage)).collect()
    }

    /// The recorded stages that a change of the probes which `touches` picks can reach.
    pub fn affected(&self, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        let touched = |(_, reach): &(&Probe, &BTreeSet<Probe>)| reach.iter().any(|inner| touches(*inner));
        self.segments.reach.iter().filter(touched).map(|(probe, _)| *probe).collect()
    }

    /// The probes that `touches` picks among those that `recorded` are computed through, of any token.
    pub fn touched(&self, recorded: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        picked(&self.segments.reach, recorded, touches)
    }

    /// The same of the tokens that were recorded.
    pub fn touched_own(&self, recorded: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool) -> BTreeSet<Probe> {
        picked(&self.segments.own, recorded, touches)
    }

    /// Where what shows in `stages` was made: in the recorded tokens, or else in the others.
    pub fn sites(&self, stages: &BTreeSet<Probe>, touches: impl Fn(Probe) -> bool + Copy) -> BTreeSet<Probe> {
        let own = self.touched_own(stages, touches);
        if own.is_empty() { self.touched(stages, touches) } else { own }
    }

    /// How many weights recomputing `recorded` reads where the probes that `touches` picks are changed: of the embedding
    /// only the prompt's rows. Of tokens that were not recorded, what comes before the first change is known.
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

    /// `edits` on top of what is planted.
    pub fn with(&self, edits: &[Edit]) -> Vec<Edit> {
        self.planted.iter().chain(edits).cloned().collect()
    }

    /// `wanted` with `edits` planted too; the first probe that they touch is `first`.
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

    /// Holds `hypothesis` against the stages of `wanted` that it changes.
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
            // A mistake may be noisier than what is right: where it comes near, its own noise decides.
            if !fit.passes() && !right.passes() && (policy || fit.size() < NEARER * right.size()) {
                nearer.insert(stage.probe);
            }
            fits.insert(stage.probe, fit);
        }
        for stage in self.noisy(&nearer, &self.with(&edits))? {
            fits.insert(stage.probe, stage.fit(&stage.exact));
        }
        let (compared, parts) = if self.moves_a_cast(hypothesis.mistake) {
            // A cast moved is seen in how values round, so both sides are rounded where transformers rounds.
            let simulation = self.level.simulation(Rounding::EveryOperation);
            let mistakes = self.with(&edits);
            let rounded = self.replayer.replay(Replay {
                given: self.given,
                wanted: &affected,
                mistakes: &mistakes,
                simulation,
            })?;
            let parts = self.parts(&rounded, |stage| (stage.rounded(), stage.other_rounding()));
            (rounded, parts)
        } else {
            let parts = self.parts(&predicted, |stage| (&stage.exact, stage.noise.clone()));
            (predicted, parts)
        };
        Ok(Trial { hypothesis, compared, fits, parts, refuted: false })
    }

    /// Whether `mistake` shows in how values round, and in nothing else: a cast moved, in a half.
    pub fn moves_a_cast(&self, mistake: &Mistake) -> bool {
        mistake.kind == MistakeKind::DtypePolicy && self.level.storage.significand_bits() < 24
    }

    /// The stages `probes`, predicted with `mistakes` and their own noise.
    pub fn noisy(&self, probes: &BTreeSet<Probe>, mistakes: &[Edit]) -> Result<Vec<Stage>, ReplayError> {
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let noise = measure(self.replayer, self.given, probes, mistakes, self.level)?;
        let asked = self.stages.iter().filter(|stage| probes.contains(&stage.probe));
        Ok(asked.filter_map(|stage| stage.again(&noise)).collect())
    }

    fn parts(&self, predicted: &Trace, right: impl Fn(&Stage) -> (&[f64], Vec<Vec<f64>>)) -> BTreeMap<Probe, Part> {
        let of = |stage: &Stage| {
            let mistaken = stage.seen(predicted.get(&stage.probe)?);
            let (right, noise) = right(stage);
            Some((stage.probe, Part::of(stage, right, &mistaken, &noise)))
        };
        self.stages.iter().filter_map(of).collect()
    }

    /// What `hypothesis` is made of where it shows in `stages`; `everywhere`: wherever it can be.
    pub fn made(&self, hypothesis: Hypothesis, stages: &BTreeSet<Probe>, everywhere: bool) -> Made {
        let recorded = if everywhere { self.segments.own.keys().copied().collect() } else { stages.clone() };
        let sites = self.sites(&recorded, |probe| hypothesis.touches(probe));
        let what = What::Mistake(hypothesis.mistake);
        let edit = match everywhere && hypothesis.scope == Scope::Everywhere {
            true => Edit::everywhere(what, self.replayer.graph()),
            false => Edit { what, sites: sites.iter().copied().collect() },
        };
        Made { edits: vec![edit], sites }
    }

    /// Those of `sites` at which the mistake of `trial` changes what was recorded: a wider window changes nothing in a layer
    /// that has none.
    pub fn changed(&self, trial: &Trial, sites: &BTreeSet<Probe>) -> BTreeSet<Probe> {
        let is_unchanged = |stage: &Probe| trial.parts.get(stage).is_some_and(|part| !part.is_there());
        let shows = |site: &&Probe| {
            let mut reached = self.segments.reach.iter().filter(|(_, reach)| reach.contains(*site));
            !reached.all(|(stage, _)| is_unchanged(stage))
        };
        let changed: BTreeSet<Probe> = sites.iter().filter(shows).copied().collect();
        if changed.is_empty() { sites.clone() } else { changed }
    }

    /// Plants `edits`, which are made at `sites`, for good.
    pub fn plant(&mut self, Made { edits, sites }: &Made) -> Result<(), ReplayError> {
        self.planted.extend_from_slice(edits);
        for new in self.noisy(&self.affected(|probe| sites.contains(&probe)), &self.planted)? {
            if let Some(old) = self.stages.iter_mut().find(|old| old.probe == new.probe) {
                *old = new;
            }
        }
        self.stream = self.stream_now()?;
        Ok(())
    }
}

/// The probes that `touches` picks in the `segments` of `recorded`.
fn picked(
    segments: &BTreeMap<Probe, BTreeSet<Probe>>,
    recorded: &BTreeSet<Probe>,
    touches: impl Fn(Probe) -> bool,
) -> BTreeSet<Probe> {
    let inner = recorded.iter().filter_map(|probe| segments.get(probe)).flatten();
    inner.copied().filter(|probe| touches(*probe)).collect()
}

impl Trial {
    /// The stages of `open` that pass with the mistake planted, where it is what was made there. Of a stage of few values the
    /// slope is not known well: where all stages together say that the mistake was made, it has to agree with them.
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

    /// How many stages that were right the mistake would make wrong.
    pub fn breaks(&self, failing: &BTreeSet<Probe>) -> usize {
        self.fits.iter().filter(|(probe, fit)| !failing.contains(probe) && !fit.passes()).count()
    }

    /// The slope over `probes`.
    pub fn slope(&self, probes: impl Iterator<Item = Probe>) -> Slope {
        Slope::of(probes.filter_map(|probe| self.parts.get(&probe)).collect::<Vec<&Part>>().into_iter())
    }

    /// The slope over all that it changes.
    pub fn whole_slope(&self) -> Slope {
        Slope::of(self.parts.values())
    }

    /// The stages that it changes, by layer.
    pub fn layers(&self) -> BTreeMap<Option<usize>, BTreeSet<Probe>> {
        let mut layers: BTreeMap<Option<usize>, BTreeSet<Probe>> = BTreeMap::new();
        for probe in self.parts.keys() {
            layers.entry(probe.layer()).or_default().insert(*probe);
        }
        layers
    }

    /// The stages that are likelier with the mistake than without it, in layers of which that is so. Where it changes no
    /// value, nothing speaks against it.
    pub fn likelier(&self) -> BTreeSet<Probe> {
        let likelier = |probes: &BTreeSet<Probe>| {
            let slope = self.slope(probes.iter().copied());
            slope.beta > 0.5 || slope.information == 0.0
        };
        let layers = self.layers().into_values().filter(likelier);
        layers.flatten().filter(|probe| likelier(&BTreeSet::from([*probe]))).collect()
    }

    /// Whether `slope` says that the mistake is there. How a run rounds is a matter of chance that any other way to round
    /// shares half of: a cast in another place has to account for most of it.
    pub fn shows(&self, slope: Slope) -> bool {
        slope.present()
            && !self.refuted
            && (self.hypothesis.mistake.kind != MistakeKind::DtypePolicy || slope.explained >= SHARE_OF_A_CAST)
    }

    /// Whether `slope` says that the mistake is there or that it is not.
    pub fn decides(&self, slope: Slope) -> bool {
        if slope.present() { self.shows(slope) } else { slope.decides() }
    }
}
