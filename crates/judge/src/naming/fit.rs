//! A parameter with a wrong value: a scale, cap, epsilon or theta, fitted by Gauss-Newton where no mistake of the catalogue fits.

use std::collections::BTreeSet;

use loupe_spec::{Edit, Parameter, Probe, ReplayError, Trace, What};

use crate::finding::{FittedParameter, layers};
use crate::limits::{FOUND, LEAST_BITS, LEAST_CHANGE, MOST_WEIGHTS, NUDGE, NUMBER_ERRORS, OCTAVES, STEPS};
use crate::naming::comparison::{Comparison, Planting};
use crate::naming::slope::{Slope, Sums, excludes};
use crate::stage::Stage;
use crate::words::count;

/// A parameter to fit, and the stages to fit it to.
struct Asked {
    parameter: Parameter,
    /// The right value.
    expected: f64,
    /// The recorded stages that depend on it.
    stages: BTreeSet<Probe>,
    /// The probes in whose formula it stands, on the way to those stages.
    sites: BTreeSet<Probe>,
}

impl Asked {
    /// The parameter with this value.
    fn edits(&self, value: f64) -> [Edit; 1] {
        [number(self.parameter, value, &self.sites)]
    }

    /// The value that stands for "none": no cap, no epsilon.
    fn none(&self) -> Option<f64> {
        match self.parameter {
            Parameter::AttnSoftcap | Parameter::FinalSoftcap => Some(f64::INFINITY),
            Parameter::RmsNormEps => Some(0.0),
            Parameter::EmbedScale | Parameter::AttnScale | Parameter::RopeTheta => None,
        }
    }
}

/// A parameter with the value that was fitted.
pub struct Fitted {
    parameter: Parameter,
    /// Infinite: no cap.
    value: f64,
    /// The relative standard error of the value; of "none" that of the value that it replaced, or 0.
    error: f64,
    expected: f64,
    explained: BTreeSet<Probe>,
    /// How well the worst of the explained stages fits.
    misfit: f64,
    sites: BTreeSet<Probe>,
    /// If it was found below the limits: the slope over all stages.
    below: Option<Slope>,
}

impl Fitted {
    /// What to plant.
    pub fn planting(&self) -> Planting {
        Planting { edits: vec![number(self.parameter, self.value, &self.sites)], sites: self.sites.clone() }
    }

    fn fits_better(&self, other: &Fitted) -> bool {
        let (own, others) = (self.explained.len(), other.explained.len());
        own > others || (own == others && self.misfit < other.misfit)
    }

    /// As the verdict tells it.
    pub fn report(&self) -> FittedParameter {
        let evidence = match self.below {
            None => format!(
                "the reference with this number agrees with yours in {}; its relative error is {:.1e}",
                count(self.explained.len(), "failing stage"),
                self.error
            ),
            Some(slope) => slope.evidence(),
        };
        FittedParameter {
            parameter: self.parameter.name().into(),
            value: Some(self.value).filter(|value| value.is_finite()),
            expected: self.expected,
            formula: self.parameter.formula().into(),
            probe: self.explained.first().or(self.sites.first()).copied().unwrap_or(Probe::TOKEN_IDS),
            layers: layers(&self.sites),
            evidence,
        }
    }
}

/// A parameter that was found below the limits.
pub struct Below {
    pub fitted: Fitted,
    /// The stages as predicted with it.
    pub predicted: Trace,
    pub stages: BTreeSet<Probe>,
}

fn number(parameter: Parameter, value: f64, sites: &BTreeSet<Probe>) -> Edit {
    Edit { what: What::Number(parameter, value), sites: sites.iter().copied().collect() }
}

/// How badly the stages fit with a value. Compared field by field.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Misfit {
    /// The sum of the logarithms of the residuals' sizes, of stages beyond the noise: logarithms, so that one stage far off does not
    /// outweigh the others.
    beyond: f64,
    /// The sum of the squares of all sizes, which tells values apart that leave nothing beyond the noise.
    squares: f64,
}

impl Comparison<'_> {
    /// The parameter that explains most stages of `open`.
    pub fn fit_a_parameter(&self, open: &BTreeSet<Probe>) -> Result<Option<Fitted>, ReplayError> {
        let mut best: Option<Fitted> = None;
        for asked in self.watched(self.parameters(|probe| open.contains(probe))) {
            if let Some(fitted) = self.fit(&asked)?
                && self.is_no_chance(&asked, &fitted)?
                && best.as_ref().is_none_or(|best| fitted.fits_better(best))
            {
                best = Some(fitted);
            }
        }
        Ok(best)
    }

    /// Whether `fitted` explains more than any free number would: a number that is fitted to one value always hits it.
    fn is_no_chance(&self, asked: &Asked, fitted: &Fitted) -> Result<bool, ReplayError> {
        let explained = self.stages.iter().filter(|stage| fitted.explained.contains(&stage.probe));
        let values: usize = explained.map(|stage| stage.values() + stage.statistics()).sum();
        let others = values.saturating_sub(1) as f64 / values.max(1) as f64;
        let bits = self.bits(&fitted.explained, &self.with_value(asked, fitted.value)?);
        Ok(bits * others >= (Parameter::ALL.len() as f64).log2() + LEAST_BITS)
    }

    /// The parameter with a wrong value that no stage shows by itself, but all stages together do. Of several, the one that
    /// removes the largest share of the residual.
    pub fn fit_below(&self) -> Result<Option<Below>, ReplayError> {
        let mut best: Option<(Slope, Below)> = None;
        for asked in self.watched(self.parameters(|_| true)) {
            let nudged = asked.expected * (1.0 + NUDGE);
            let towards = self.direction(&self.with_value(&asked, asked.expected)?, &self.with_value(&asked, nudged)?);
            if (towards.beta * NUDGE).abs() < LEAST_CHANGE || towards.beta.abs() < NUMBER_ERRORS * towards.error {
                continue;
            }
            let Some(mut fitted) = self.fit(&asked)?.filter(|fitted| fitted.explained == asked.stages) else {
                continue;
            };
            let predicted = self.with_value(&asked, fitted.value)?;
            let slope = self.second_slope(&predicted, &asked.stages, false)?;
            if slope.stands_out() && best.as_ref().is_none_or(|(best, _)| slope.removed > best.removed) {
                fitted.below = Some(slope);
                best = Some((slope, Below { fitted, predicted, stages: asked.stages }));
            }
        }
        Ok(best.map(|(_, below)| below))
    }

    /// `parameters`, one after the other; whoever watches is told how many there are.
    fn watched(&self, parameters: Vec<Asked>) -> impl Iterator<Item = Asked> {
        self.replayer.begins("other values of the numbers", parameters.len());
        parameters.into_iter().inspect(|_| self.replayer.part(1))
    }

    /// The parameters that the stages picked by `pick` depend on, if predicting those stages is cheap enough to try values.
    fn parameters(&self, pick: impl Fn(&Probe) -> bool) -> Vec<Asked> {
        let asked = |parameter: Parameter| {
            let affected = self.affected(|probe| parameter.is_at(probe));
            let stages: BTreeSet<Probe> = affected.into_iter().filter(|probe| pick(probe)).collect();
            let sites = self.touched(&stages, |probe| parameter.is_at(probe));
            let expected = self.replayer.graph().value(parameter)?;
            let worth_it =
                !stages.is_empty() && self.weights_read(&stages, |probe| parameter.is_at(probe)) <= MOST_WEIGHTS;
            worth_it.then_some(Asked { parameter, expected, stages, sites })
        };
        Parameter::ALL.into_iter().filter_map(asked).collect()
    }

    /// Predicts the stages with `value` for the parameter.
    fn with_value(&self, asked: &Asked, value: f64) -> Result<Trace, ReplayError> {
        self.predict(&asked.edits(value), asked.sites.first().copied(), &asked.stages)
    }

    fn fit(&self, asked: &Asked) -> Result<Option<Fitted>, ReplayError> {
        let misfit = |value: f64| Ok(self.misfit(&self.with_value(asked, value)?));
        let expected = asked.expected;
        let octaves = (-OCTAVES..=OCTAVES).map(|octave| expected * 2f64.powi(octave));
        let mut value = expected;
        let mut least = misfit(expected)?;
        for start in octaves.chain(asked.none().filter(|none| !none.is_finite())) {
            let misfit = misfit(start)?;
            if misfit < least {
                (value, least) = (start, misfit);
            }
        }
        let mut error = 0.0;
        for _ in 0..STEPS {
            if !value.is_finite() || value == 0.0 {
                break;
            }
            let (here, there) = (self.with_value(asked, value)?, self.with_value(asked, value * (1.0 + NUDGE))?);
            let slope = self.direction(&here, &there);
            if slope.information == 0.0 {
                error = f64::INFINITY;
                break;
            }
            // The slope is in units of the nudge. A step is kept within a factor of two.
            let step = (slope.beta * NUDGE).clamp(-0.5, 1.0);
            error = NUDGE / slope.information.sqrt();
            value *= 1.0 + step;
            if step.abs() < FOUND {
                break;
            }
        }
        // If "no cap" or "no epsilon" fits as well, and the recordings do not tell the two apart, that is the plainer answer.
        if let Some(none) = asked.none().filter(|none| *none != value) {
            let (with, without) = (self.with_value(asked, value)?, self.with_value(asked, none)?);
            let as_much = self.misfit(&without).beyond <= self.misfit(&with).beyond;
            if as_much && !excludes(&self.by_probe(), asked.stages.iter().copied(), &with, &without) {
                value = none;
            }
        }
        if value.is_finite() && (value - expected).abs() < NUMBER_ERRORS * error * value {
            return Ok(None);
        }
        let fits = self.noisy(&asked.stages, &self.with(&asked.edits(value)))?;
        let passing = || fits.iter().filter(|stage| stage.fit(&stage.exact).passes());
        let explained: BTreeSet<Probe> = passing().map(|stage| stage.probe).collect();
        let misfit = passing().map(|stage| stage.fit(&stage.exact).size()).fold(0.0, f64::max);
        if explained.is_empty() {
            return Ok(None);
        }
        let parameter = asked.parameter;
        let sites = self.sites(&explained, |probe| parameter.is_at(probe));
        Ok(Some(Fitted { parameter, value, error, expected, explained, misfit, sites, below: None }))
    }

    fn misfit(&self, predicted: &Trace) -> Misfit {
        let mut misfit = Misfit { beyond: 0.0, squares: 0.0 };
        for stage in &self.stages {
            let Some(predicted) = predicted.get(&stage.probe) else { continue };
            let size = stage.fit(&stage.seen(predicted)).tensor;
            misfit.beyond += size.max(1.0).ln();
            misfit.squares += size * size;
        }
        misfit
    }

    fn direction(&self, here: &Trace, there: &Trace) -> Slope {
        let of = |stage: &Stage| {
            let (here, there) = (stage.seen(here.get(&stage.probe)?), stage.seen(there.get(&stage.probe)?));
            Some(Sums::of(stage, &here, &there, &[]))
        };
        Slope::of(self.stages.iter().filter_map(of).collect::<Vec<Sums>>().iter())
    }
}
