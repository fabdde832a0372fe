//! A number with a wrong value: the scale, cap, epsilon or theta that explains what no mistake of the catalogue does.

use std::collections::BTreeSet;

use loupe_spec::{Parameter, Probe};

use crate::naming::explain::MOST_WEIGHTS;
use crate::naming::scene::{Made, Scene};
use crate::naming::slope::{Part, Slope};
use crate::stage::Stage;
use crate::verdict::{FittedParameter, layers};
use crate::{ReplayError, Trace};

/// Values tried first are the right one times 2^-16 to 2^16.
const OCTAVES: i32 = 16;
/// Steps of Gauss-Newton: each about squares the error.
const STEPS: usize = 12;
/// The value is found when a step changes it by less.
const FOUND: f64 = 1e-9;
/// A derivative is taken over this share of the value.
const NUDGE: f64 = 1e-4;
/// The value differs from the right one by at least this many standard errors.
const SURE: f64 = 5.0;

/// A value that is off by a smaller share than this is above the budget or nothing: caps, scales and theta are held to
/// far less, and no port has its epsilon almost right.
const LEAST_CHANGE: f64 = 0.1;

/// A parameter, its value, and where it is used.
pub struct Fitted {
    parameter: Parameter,
    /// Infinite: no cap.
    value: f64,
    /// Of the value, relative.
    error: f64,
    expected: f64,
    explained: BTreeSet<Probe>,
    /// Of the worst stage that it explains.
    misfit: f64,
    sites: BTreeSet<Probe>,
}

impl Fitted {
    /// What to plant.
    pub fn made(&self) -> Made {
        Made { names: names(self.parameter, self.value, &self.sites), sites: self.sites.clone() }
    }

    fn fits_better(&self, other: &Fitted) -> bool {
        let (own, others) = (self.explained.len(), other.explained.len());
        own > others || (own == others && self.misfit < other.misfit)
    }

    /// As the verdict tells it.
    pub fn report(&self) -> FittedParameter {
        FittedParameter {
            parameter: self.parameter.name(),
            value: Some(self.value).filter(|value| value.is_finite()),
            expected: self.expected,
            probe: self.explained.first().or(self.sites.first()).copied().unwrap_or(Probe::TokenIds),
            layers: layers(&self.sites),
            evidence: format!(
                "with this value {} stage(s) are inside the budget; known to {:.1e} of itself",
                self.explained.len(),
                self.error
            ),
        }
    }
}

fn names(parameter: Parameter, value: f64, sites: &BTreeSet<Probe>) -> Vec<String> {
    sites.iter().map(|probe| format!("{}={value}@{probe}", parameter.name())).collect()
}

impl Scene<'_> {
    /// The parameter that explains most of `open`.
    pub fn fit_a_parameter(&self, open: &BTreeSet<Probe>) -> Result<Option<Fitted>, ReplayError> {
        let mut best: Option<Fitted> = None;
        for parameter in Parameter::ALL {
            let affected: BTreeSet<Probe> =
                self.affected(|probe| parameter.at(probe)).intersection(open).copied().collect();
            let expected = parameter.value(self.replayer.config());
            let (Some(expected), false) = (expected, affected.is_empty()) else { continue };
            if self.weights_read(&affected) > MOST_WEIGHTS {
                continue;
            }
            if let Some(fitted) = self.fit(parameter, expected, &affected)?
                && best.as_ref().is_none_or(|best| fitted.fits_better(best))
            {
                best = Some(fitted);
            }
        }
        Ok(best)
    }

    /// The parameter whose wrong value no stage shows by itself, but all of them together.
    pub fn fit_below(&self) -> Result<Option<Fitted>, ReplayError> {
        for parameter in Parameter::ALL {
            let affected = self.affected(|probe| parameter.at(probe));
            let (Some(expected), false) = (parameter.value(self.replayer.config()), affected.is_empty()) else {
                continue;
            };
            if self.weights_read(&affected) > MOST_WEIGHTS {
                continue;
            }
            let sites = self.touched(&affected, |probe| parameter.at(probe));
            let at = |value: f64| self.predict(&names(parameter, value, &sites), sites.first().copied(), &affected);
            let towards = self.direction(&at(expected)?, &at(expected * (1.0 + NUDGE))?);
            if (towards.beta * NUDGE).abs() < LEAST_CHANGE || towards.beta.abs() < SURE * towards.error {
                continue;
            }
            let Some(fitted) = self.fit(parameter, expected, &affected)? else { continue };
            let slope = self.second_slope(&at(fitted.value)?, &affected, false)?;
            if slope.stands_out() {
                return Ok(Some(fitted));
            }
        }
        Ok(None)
    }

    fn fit(
        &self,
        parameter: Parameter,
        expected: f64,
        affected: &BTreeSet<Probe>,
    ) -> Result<Option<Fitted>, ReplayError> {
        let sites = self.touched(affected, |probe| parameter.at(probe));
        let at = |value: f64| self.predict(&names(parameter, value, &sites), sites.first().copied(), affected);
        let is_cap = matches!(parameter, Parameter::AttnSoftcap | Parameter::FinalSoftcap);
        let mut starts: Vec<f64> = (-OCTAVES..=OCTAVES).map(|octave| expected * 2f64.powi(octave)).collect();
        starts.extend(is_cap.then_some(f64::INFINITY));
        let mut value = expected;
        let mut least = f64::INFINITY;
        for start in starts {
            let misfit = self.misfit(&at(start)?);
            if misfit < least {
                (value, least) = (start, misfit);
            }
        }
        let mut error = 0.0;
        for _ in 0..STEPS {
            if !value.is_finite() || value == 0.0 {
                break;
            }
            let (here, there) = (at(value)?, at(value * (1.0 + NUDGE))?);
            let slope = self.direction(&here, &there);
            if slope.information == 0.0 {
                break;
            }
            // In units of the nudge; a step is kept within a factor of two.
            let step = (slope.beta * NUDGE).clamp(-0.5, 1.0);
            error = NUDGE / slope.information.sqrt();
            value *= 1.0 + step;
            if step.abs() < FOUND {
                break;
            }
        }
        // What no value explains better than none at all: no cap, no epsilon.
        let none = match parameter {
            Parameter::AttnSoftcap | Parameter::FinalSoftcap => Some(f64::INFINITY),
            Parameter::RmsNormEps => Some(0.0),
            _ => None,
        };
        if let Some(none) = none
            && self.misfit(&at(none)?) <= self.misfit(&at(value)?)
        {
            value = none;
        }
        if value.is_finite() && (value - expected).abs() < SURE * error * value {
            return Ok(None);
        }
        let fits = self.noisy(affected, &self.with(&names(parameter, value, &sites)))?;
        let passing = || fits.iter().filter(|stage| stage.fit(&stage.exact).passes());
        let explained: BTreeSet<Probe> = passing().map(|stage| stage.probe).collect();
        let misfit = passing().map(|stage| stage.fit(&stage.exact).size()).fold(0.0, f64::max);
        if explained.is_empty() {
            return Ok(None);
        }
        let sites = self.touched(&explained, |probe| parameter.at(probe));
        Ok(Some(Fitted { parameter, value, error, expected, explained, misfit, sites }))
    }

    /// How far `predicted` leaves its stages from fitting.
    fn misfit(&self, predicted: &Trace) -> f64 {
        let of = |stage: &Stage| stage.fit(&predicted[&stage.probe].values.to_f64()).tensor;
        self.cost(&predicted.keys().copied().collect(), of)
    }

    fn direction(&self, here: &Trace, there: &Trace) -> Slope {
        let of = |stage: &Stage| {
            let (here, there) = (here.get(&stage.probe)?.values.to_f64(), there.get(&stage.probe)?.values.to_f64());
            Some(Part::of(stage, &here, &there, &[]))
        };
        Slope::of(self.stages.iter().filter_map(of).collect::<Vec<Part>>().iter())
    }
}
