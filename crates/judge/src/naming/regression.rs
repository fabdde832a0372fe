//! For a page: the values of one stage by which a mistake was named, so that a person sees whether they lie on a line.

use std::collections::BTreeSet;

use loupe_spec::{Edit, Probe, Replay, ReplayError, Rounding, What};

use crate::limits::MOST_WEIGHTS;
use crate::naming::comparison::Comparison;
use crate::naming::findings::Findings;
use crate::naming::slope::{Slope, Sums};
use crate::picture::Regression;

/// So many points at most.
const MOST_POINTS: usize = 240;

impl Comparison<'_> {
    /// For everything in `findings`, the regression at the stage where it first shows; nothing where that is a mask, or would take a
    /// forward pass of a large model.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn regressions(&self, findings: &Findings) -> Result<Vec<(Probe, Regression)>, ReplayError> {
        let named = findings.named.iter().map(|named| (named.id.to_string(), named.probe));
        let fitted = findings.fitted.iter().map(|fitted| (fitted.parameter.to_string(), fitted.probe));
        let mut all = Vec::new();
        self.replayer.begins("what a page draws of it", findings.named.len() + findings.fitted.len());
        for (name, probe) in named.chain(fitted) {
            self.replayer.part(1);
            all.extend(self.regression(&name, probe)?.map(|regression| (probe, regression)));
        }
        Ok(all)
    }

    fn regression(&self, name: &str, probe: Probe) -> Result<Option<Regression>, ReplayError> {
        let (own, others): (Vec<&Edit>, Vec<&Edit>) = self.planted.iter().partition(|edit| is_called(edit.what, name));
        let wanted = BTreeSet::from([probe]);
        let touches = |inner| own.iter().any(|edit| edit.sites.contains(&inner));
        let Some(stage) = self.stages.iter().find(|stage| stage.probe == probe) else { return Ok(None) };
        if own.is_empty() || self.weights_read(&wanted, touches) > MOST_WEIGHTS {
            return Ok(None);
        }
        let rounded =
            own.iter().any(|edit| matches!(edit.what, What::Mistake(mistake) if self.is_compared_rounded(mistake)));
        let rounding = if rounded { Rounding::EveryOperation } else { Rounding::Exact };
        let predict = |mistakes: &[Edit]| {
            let simulation = self.precision.simulation(rounding);
            self.replayer.replay(Replay { given: self.given, wanted: &wanted, mistakes, simulation })
        };
        let right = predict(&others.into_iter().cloned().collect::<Vec<_>>())?;
        let mistaken = predict(&self.planted)?;
        let (Some(right), Some(mistaken)) = (right.get(&probe), mistaken.get(&probe)) else { return Ok(None) };
        let (right, mistaken) = (stage.seen(right), stage.seen(mistaken));
        let slope = Slope::of([Sums::of(stage, &right, &mistaken, &[])].iter());
        let point = |at: usize| {
            let noise = stage.variance[at].sqrt();
            let point = [(mistaken[at] - right[at]) / noise, (stage.recorded[at] - right[at]) / noise];
            let point = point.map(|of| of as f32);
            (point[0] != 0.0 && point.iter().all(|of| of.is_finite())).then_some(point)
        };
        let points: Vec<[f32; 2]> = stage.indices().filter_map(point).collect();
        let every = points.len().div_ceil(MOST_POINTS).max(1);
        let of_values = points.len();
        let points: Vec<[f32; 2]> = points.into_iter().step_by(every).collect();
        Ok((!points.is_empty()).then(|| Regression { of: name.to_string(), slope: slope.beta, of_values, points }))
    }
}

/// Whether `what` is the mistake with this id, or the number of this name.
fn is_called(what: What, name: &str) -> bool {
    match what {
        What::Mistake(mistake) => mistake.id == name,
        What::Number(parameter, _) => parameter.name() == name,
    }
}
