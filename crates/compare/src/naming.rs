//! Which mistake: the one that, planted in the reference, brings the failing stages inside the budget.
//!
//! Each mistake predicts a direction in which the residual must point, `d` = mistaken minus right stage. The slope of
//! the residual on `d`, weighted by the noise, is near 1 where the mistake is made and near 0 where it is not: the
//! strong statistic, which finds a mistake even below the budget (erf-GELU under bf16's noise).

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Mistake, MistakeKind, Probe, Rounding};

use crate::judge::named;
use crate::noise::{Level, measure};
use crate::stage::{Fit, Stage};
use crate::verdict::{NamedMistake, Unseen};
use crate::{Replay, ReplayError, Replayer, Trace};

/// A slope is near 1 within this.
const SLOPE_BAND: f64 = 0.3;
/// Half-way between absent (0) and present (1) must be this many standard errors away.
const SLOPE_SURE: f64 = 3.5;
/// A slope with a larger standard error tells nothing.
const SLOPE_BLUNT: f64 = 0.14;
/// Where nothing that a mistake touches fails, it is tried only if that reads no more weights than this (2B has
/// 2.6e9): looking below the budget at that scale costs a forward pass for each mistake. What is not tried is said.
const MOST_WEIGHTS: usize = 500_000_000;
/// How many mistakes at once are looked for in coarse recordings, and how many sets are kept on the way.
const DEPTH: usize = 3;
const WIDTH: usize = 6;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Mistakes, in order of their first stage.
    pub named: Vec<NamedMistake>,
    /// Their kinds.
    pub kinds: Vec<MistakeKind>,
    /// Failing stages that nothing explains.
    pub unnamed: Vec<Probe>,
    /// Mistakes that these recordings cannot show.
    pub unseen: Vec<Unseen>,
}

/// Everything the search works on.
pub struct Search<'a> {
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// What was recorded.
    pub given: &'a Trace,
    /// What each recorded probe is recomputed through.
    pub segments: &'a BTreeMap<Probe, BTreeSet<Probe>>,
    /// The recorded stages with their right predictions and noise.
    pub stages: &'a [Stage],
    /// The candidate's precision.
    pub level: Level,
}

/// One mistake, tried everywhere it could be.
struct Trial {
    mistake: &'static Mistake,
    fits: BTreeMap<Probe, Fit>,
    slope: Slope,
    /// Residual on direction, and direction on direction, stage by stage.
    projections: BTreeMap<Probe, (f64, f64)>,
}

impl Trial {
    /// Whether the residual of `stages` goes about as far as the mistake would push it. A perturbation that merely
    /// happens to bring a stage back inside the budget does not earn the name.
    fn earns(&self, stages: &BTreeSet<Probe>) -> bool {
        let parts = stages.iter().filter_map(|probe| self.projections.get(probe));
        let (rd, dd) = parts.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        // A mask has no noise, hence no slope: it fits bit for bit or not at all.
        dd == 0.0 || (rd / dd - 1.0).abs() < SLOPE_BAND
    }
}

/// Slope of the residual on a mistake's direction.
#[derive(Clone, Copy, Debug)]
struct Slope {
    beta: f64,
    error: f64,
    information: f64,
}

impl Slope {
    fn present(self) -> bool {
        self.tells() && (self.beta - 1.0).abs() < SLOPE_BAND && (self.beta - 0.5) / self.error > SLOPE_SURE
    }

    fn tells(self) -> bool {
        self.information > 0.0 && self.error <= SLOPE_BLUNT
    }
}

impl Search<'_> {
    /// Names what explains `failing`; and what shows below the budget, where nothing fails and `sound` says that no
    /// stage is a fault.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn run(&self, failing: &BTreeSet<Probe>, sound: bool) -> Result<Findings, ReplayError> {
        let mut findings = Findings::default();
        let mut trials = Vec::new();
        for mistake in self.replayer.mistakes() {
            let affected = self.affected(mistake);
            if affected.is_empty() {
                findings.unseen.push(unseen(mistake, "not recorded"));
                continue;
            }
            if affected.is_disjoint(failing) && self.weights_read(&affected) > MOST_WEIGHTS {
                findings.unseen.push(unseen(mistake, "not tried"));
                continue;
            }
            trials.push(self.try_one(mistake, &affected, failing)?);
        }
        let mut open = failing.clone();
        while let Some((best, explained)) = best(&trials, &open, failing) {
            let alternatives = alternatives(&trials, best, &explained, failing);
            let worst =
                explained.iter().filter_map(|probe| best.fits.get(probe)).map(|fit| fit.tensor).fold(0.0, f64::max);
            let evidence = format!(
                "planted in the reference it brings {} failing stage(s) to at most {worst:.2} times the noise (slope {:.3})",
                explained.len(),
                best.slope.beta
            );
            findings.kinds.push(best.mistake.kind);
            findings.named.push(named(best.mistake, &explained, alternatives, evidence));
            open.retain(|probe| !explained.contains(probe));
        }
        if !open.is_empty() && self.is_coarse(&open) {
            self.search_sets(&trials, &mut open, &mut findings)?;
        }
        findings.unnamed = open.into_iter().collect();
        if failing.is_empty() && sound {
            self.below_the_budget(&trials, &mut findings);
        }
        for trial in &trials {
            let found = findings.named.iter().any(|named| named.id == trial.mistake.id);
            if !found && !trial.slope.tells() {
                let why = if trial.slope.information == 0.0 { "identical here" } else { "below the noise" };
                findings.unseen.push(unseen(trial.mistake, why));
            }
        }
        findings.unseen.retain(|unseen| !findings.named.iter().any(|named| named.id == unseen.id));
        findings.unseen.sort_by(|a, b| (a.why, &a.id).cmp(&(b.why, &b.id)));
        findings.unseen.dedup_by(|a, b| a.id == b.id && a.why == b.why);
        findings.named.sort_by_key(|named| named.probe);
        Ok(findings)
    }

    /// The recorded stages whose segment runs through a probe that the mistake changes.
    fn affected(&self, mistake: &Mistake) -> BTreeSet<Probe> {
        let touched = |probe: &&Probe| self.segments[*probe].iter().any(|inner| (mistake.at)(*inner));
        self.segments.keys().filter(touched).copied().collect()
    }

    /// How many weights recomputing `affected` reads.
    fn weights_read(&self, affected: &BTreeSet<Probe>) -> usize {
        let config = self.replayer.config();
        let weights = affected.iter().flat_map(|probe| &self.segments[probe]).filter_map(|inner| inner.weight(config));
        weights.map(|weight| weight.shape(config).iter().product::<usize>()).sum()
    }

    fn try_one(
        &self,
        mistake: &'static Mistake,
        affected: &BTreeSet<Probe>,
        failing: &BTreeSet<Probe>,
    ) -> Result<Trial, ReplayError> {
        let name = [mistake.name()];
        let predicted = self.predict(&name, affected)?;
        let mut fits = self.fits(&predicted);
        // A mistake may be noisier than what is right; where it comes near, its own noise decides.
        let near = |fit: &Fit| !fit.passes() && fit.tensor < 100.0;
        if failing.iter().any(|probe| fits.get(probe).is_some_and(near)) {
            let noise = measure(self.replayer, self.given, affected, &name, self.level)?;
            for stage in self.stages.iter().filter(|stage| failing.contains(&stage.probe)) {
                if let Some(recorded) = self.given.get(&stage.probe)
                    && let Some(own) = Stage::new(stage.probe, recorded, &noise, &stage.judged)
                {
                    fits.insert(stage.probe, own.fit(&own.exact));
                }
            }
        }
        let slope = if mistake.kind == MistakeKind::DtypePolicy && self.level.storage.significand_bits() < 24 {
            // A cast moved is seen in how values round, so both sides are rounded where transformers rounds.
            let simulation = self.level.simulation(Rounding::EveryOperation);
            let rounded = Replay { given: self.given, wanted: affected, mistakes: &name, simulation };
            self.slope(&self.replayer.replay(rounded)?, |stage| (stage.rounded(), stage.other_rounding()))
        } else {
            self.slope(&predicted, |stage| (&stage.exact, stage.noise.clone()))
        };
        let projections = self.projections(&predicted);
        Ok(Trial { mistake, slope, fits, projections })
    }

    fn predict(&self, mistakes: &[String], wanted: &BTreeSet<Probe>) -> Result<Trace, ReplayError> {
        let simulation = self.level.simulation(Rounding::Exact);
        self.replayer.replay(Replay { given: self.given, wanted, mistakes, simulation })
    }

    fn fits(&self, predicted: &Trace) -> BTreeMap<Probe, Fit> {
        let of = |stage: &Stage| Some((stage.probe, stage.fit(&predicted.get(&stage.probe)?.values.to_f64())));
        self.stages.iter().filter_map(of).collect()
    }

    fn projections(&self, predicted: &Trace) -> BTreeMap<Probe, (f64, f64)> {
        let of = |stage: &Stage| {
            let mistaken = predicted.get(&stage.probe)?;
            let (mut rd, mut dd) = (0.0, 0.0);
            for at in stage.indices().filter(|at| stage.variance[*at] > 0.0) {
                let d = mistaken.values.get(at) - stage.exact[at];
                let r = stage.recorded[at] - stage.exact[at];
                if d.is_finite() && r.is_finite() {
                    rd += r * d / stage.variance[at];
                    dd += d * d / stage.variance[at];
                }
            }
            Some((stage.probe, (rd, dd)))
        };
        self.stages.iter().filter_map(of).collect()
    }

    /// Pooled over every stage that the mistake changes; `right` is the prediction without it, and what other right
    /// code differs from that.
    fn slope(&self, predicted: &Trace, right: impl Fn(&Stage) -> (&[f64], Vec<Vec<f64>>)) -> Slope {
        let (mut rd, mut dd, mut rr, mut count) = (0.0, 0.0, 0.0, 0usize);
        let mut noise_d: Vec<f64> = Vec::new();
        for stage in self.stages {
            let Some(mistaken) = predicted.get(&stage.probe) else { continue };
            let (right, noise) = right(stage);
            noise_d.resize(noise.len().max(noise_d.len()), 0.0);
            for at in stage.indices() {
                let d = mistaken.values.get(at) - right[at];
                let r = stage.recorded[at] - right[at];
                let variance = stage.variance[at];
                if d == 0.0 || variance == 0.0 || !d.is_finite() || !r.is_finite() {
                    continue;
                }
                rd += r * d / variance;
                dd += d * d / variance;
                rr += r * r / variance;
                count += 1;
                for (sum, run) in noise_d.iter_mut().zip(&noise) {
                    *sum += run[at] * d / variance;
                }
            }
        }
        if dd == 0.0 {
            return Slope { beta: 0.0, error: f64::INFINITY, information: 0.0 };
        }
        let beta = rd / dd;
        // What is left after the slope is taken out, as the spread of the residual.
        let spread = (rr - beta * rd).max(0.0) / count.max(1) as f64;
        let of_residual = (spread / dd).sqrt();
        let of_noise = (noise_d.iter().map(|sum| (sum / dd).powi(2)).sum::<f64>() / noise_d.len().max(1) as f64).sqrt();
        Slope { beta, error: of_residual.max(of_noise), information: dd }
    }

    /// Nothing fails, but a residual may still point a mistake's way.
    fn below_the_budget(&self, trials: &[Trial], findings: &mut Findings) {
        let sharpest = trials
            .iter()
            .filter(|trial| trial.slope.present())
            .min_by(|a, b| (a.slope.beta - 1.0).abs().total_cmp(&(b.slope.beta - 1.0).abs()));
        let Some(found) = sharpest else { return };
        let explained = self.affected(found.mistake);
        let others = trials.iter().filter(|t| t.slope.present() && t.mistake.id != found.mistake.id);
        let alternatives: BTreeSet<String> = others.map(|trial| trial.mistake.id.to_string()).collect();
        let evidence = format!(
            "within the noise of every stage, but the residual points its way: slope {:.3} ± {:.3}",
            found.slope.beta, found.slope.error
        );
        findings.kinds.push(found.mistake.kind);
        findings.named.push(named(found.mistake, &explained, alternatives.into_iter().collect(), evidence));
    }

    /// Whether some of `open` were recomputed through stages that were not recorded.
    fn is_coarse(&self, open: &BTreeSet<Probe>) -> bool {
        open.iter().any(|probe| self.segments[probe].len() > 1)
    }

    /// Two or three at once, where one segment hides several stages.
    fn search_sets(
        &self,
        trials: &[Trial],
        open: &mut BTreeSet<Probe>,
        findings: &mut Findings,
    ) -> Result<(), ReplayError> {
        let wanted: BTreeSet<Probe> = self.stages.iter().map(|stage| stage.probe).collect();
        let cost = |fits: &BTreeMap<Probe, Fit>| -> f64 {
            wanted.iter().filter_map(|probe| fits.get(probe)).map(|fit| fit.tensor.max(1.0).ln()).sum()
        };
        let right: BTreeMap<Probe, Fit> = self.stages.iter().map(|s| (s.probe, s.fit(&s.exact))).collect();
        let merged = |trial: &Trial| {
            let mut fits = right.clone();
            fits.extend(trial.fits.iter().map(|(probe, fit)| (*probe, *fit)));
            fits
        };
        let candidates: Vec<&Trial> = trials
            .iter()
            .filter(|t| t.slope.information > 0.0 && t.mistake.kind == MistakeKind::Architectural)
            .collect();
        let mut beam: Vec<(Vec<&'static Mistake>, f64)> =
            candidates.iter().map(|trial| (vec![trial.mistake], cost(&merged(trial)))).collect();
        beam.sort_by(|a, b| a.1.total_cmp(&b.1));
        beam.truncate(WIDTH);
        for _ in 1..DEPTH {
            let mut next: Vec<(Vec<&'static Mistake>, f64)> = Vec::new();
            for (set, _) in &beam {
                for trial in &candidates {
                    if set.iter().any(|m| m.id == trial.mistake.id) {
                        continue;
                    }
                    let mut larger = set.clone();
                    larger.push(trial.mistake);
                    let names: Vec<String> = larger.iter().map(|m| m.name()).collect();
                    let fits = self.fits(&self.predict(&names, &wanted)?);
                    if fits.values().all(|fit| fit.passes()) {
                        for mistake in larger {
                            let evidence = format!("together, {} explain every failing stage", names.join(" and "));
                            let touched = self.affected(mistake).intersection(open).copied().collect();
                            findings.kinds.push(mistake.kind);
                            findings.named.push(named(mistake, &touched, Vec::new(), evidence));
                        }
                        open.clear();
                        return Ok(());
                    }
                    next.push((larger, cost(&fits)));
                }
            }
            next.sort_by(|a, b| a.1.total_cmp(&b.1));
            next.truncate(WIDTH);
            beam = next;
        }
        Ok(())
    }
}

/// The mistake that explains most of `open`, breaking least of what passes; with what it explains.
fn best<'a>(
    trials: &'a [Trial],
    open: &BTreeSet<Probe>,
    failing: &BTreeSet<Probe>,
) -> Option<(&'a Trial, BTreeSet<Probe>)> {
    let scored = trials.iter().map(|trial| (trial, explained(trial, open)));
    scored.filter(|(_, explained)| !explained.is_empty()).max_by(|(a, ea), (b, eb)| {
        let key = |trial: &Trial, explained: &BTreeSet<Probe>| (explained.len(), usize::MAX - breaks(trial, failing));
        key(a, ea).cmp(&key(b, eb)).then_with(|| {
            let off = |trial: &Trial| (trial.slope.beta - 1.0).abs();
            off(b).total_cmp(&off(a))
        })
    })
}

/// The stages of `open` that pass with the mistake planted.
fn explained(trial: &Trial, open: &BTreeSet<Probe>) -> BTreeSet<Probe> {
    open.iter().filter(|probe| trial.fits.get(probe).is_some_and(|fit| fit.passes())).copied().collect()
}

/// How many stages that were right the mistake would make wrong.
fn breaks(trial: &Trial, failing: &BTreeSet<Probe>) -> usize {
    trial.fits.iter().filter(|(probe, fit)| !failing.contains(probe) && !fit.passes()).count()
}

/// Other mistakes that explain the same stages as well.
fn alternatives(trials: &[Trial], best: &Trial, found: &BTreeSet<Probe>, failing: &BTreeSet<Probe>) -> Vec<String> {
    let same = |trial: &&Trial| {
        trial.mistake.id != best.mistake.id
            && found.iter().all(|probe| trial.fits.get(probe).is_some_and(|fit| fit.passes()))
            && trial.earns(found)
            // What a mistake would break elsewhere tells it apart only from one that was made everywhere.
            && (breaks(best, failing) > 0 || breaks(trial, failing) == 0)
    };
    let ids: BTreeSet<String> = trials.iter().filter(same).map(|trial| trial.mistake.id.to_string()).collect();
    ids.into_iter().collect()
}

fn unseen(mistake: &Mistake, why: &'static str) -> Unseen {
    let hidden_when = mistake.hidden_when.to_string();
    Unseen { id: mistake.id.to_string(), why, hidden_when, told_by: None, no_stimulus: None }
}
