//! Whether an input can show a mistake: how far the mistake moves what would be recorded there, in units of the noise.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{
    Edit, Given, HostTensor, Mistake, Precision, Probe, Replay, ReplayError, Replayer, Rounding, Trace, Values, What,
};

use crate::limits::{ROW_LIMIT, TENSOR_LIMIT};
use crate::noise::{Noise, measure};
use crate::segments::Segments;
use crate::stage::Stage;

/// An input, the right values of what is recorded on it, and the noise of each.
pub struct Visibility<'a> {
    replayer: &'a dyn Replayer,
    right: Trace,
    segments: BTreeMap<Probe, BTreeSet<Probe>>,
    noise: Noise,
}

/// A stage that tells two ways of computing it apart.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Which.
    pub probe: Probe,
    /// Size of the difference over size of the noise, by the tensor or, where a few tokens hold it all, by the worst
    /// token; infinite where right code has no noise (masks). The judge's limit is 3.
    pub times_noise: f64,
}

impl<'a> Visibility<'a> {
    /// Runs the right model on `token_ids`, recording `recorded`, and measures the noise of each recorded stage under
    /// the judge's own eyes: recomputed from what is recorded before it, at the `precision` of the verdict.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn open(
        replayer: &'a dyn Replayer,
        token_ids: &[usize],
        recorded: &BTreeSet<Probe>,
        precision: Precision,
    ) -> Result<Visibility<'a>, ReplayError> {
        let ids = Values::I64(token_ids.iter().map(|id| *id as i64).collect());
        let start = Trace::from([(Probe::TOKEN_IDS, HostTensor { shape: vec![token_ids.len()], values: ids })]);
        let simulation = precision.simulation(Rounding::Exact);
        let mut right =
            replayer.replay(Replay { given: Given::whole(&start), wanted: recorded, mistakes: &[], simulation })?;
        right.extend(start);
        let noise = measure(replayer, Given::whole(&right), recorded, &[], precision)?;
        let segments = Segments::of(replayer.graph(), recorded, recorded, recorded).own;
        Ok(Visibility { replayer, segments, right, noise })
    }

    /// How far apart `one` (`None`: the right code) and `other` are at each recorded stage that either changes, in
    /// computing order.
    ///
    /// # Errors
    /// What the replayer says.
    pub fn between(&self, one: Option<&'static Mistake>, other: &'static Mistake) -> Result<Vec<Moved>, ReplayError> {
        let changes = |probe: &Probe| (other.at)(*probe) || one.is_some_and(|one| (one.at)(*probe));
        let affected = self.segments.iter().filter(|(_, segment)| segment.iter().any(changes));
        let affected: BTreeSet<Probe> = affected.map(|(probe, _)| *probe).collect();
        if affected.is_empty() {
            return Ok(Vec::new());
        }
        let run = |mistake: &'static Mistake| {
            let simulation = self.noise.precision.simulation(Rounding::Exact);
            let mistakes = [Edit::everywhere(What::Mistake(mistake), self.replayer.graph())];
            let given = Given::whole(&self.right);
            self.replayer.replay(Replay { given, wanted: &affected, mistakes: &mistakes, simulation })
        };
        let predicted = one.map(run).transpose()?;
        let recorded = run(other)?;
        let moved = |probe: &Probe| {
            let predicted = predicted.as_ref().unwrap_or(&self.noise.exact).get(probe)?;
            let recorded = self.as_stored(recorded.get(probe)?);
            let tokens = self.right.get(&Probe::TOKEN_IDS)?.values.len();
            let stage = Stage::new(*probe, &recorded, &self.noise, &vec![true; tokens])?;
            let fit = stage.fit(&stage.seen(predicted));
            Some(Moved { probe: *probe, times_noise: fit.tensor.max(fit.row * TENSOR_LIMIT / ROW_LIMIT) })
        };
        Ok(affected.iter().filter_map(moved).collect())
    }

    /// `tensor` without what the candidate's dtype has no number for: e^-50 is no probability in f16.
    fn as_stored(&self, tensor: &HostTensor) -> HostTensor {
        let storage = self.noise.precision.storage;
        let keep = |value: f64| if storage.round(value) == 0.0 { 0.0 } else { value };
        let values = Values::F64(tensor.values.to_f64().into_iter().map(keep).collect());
        HostTensor { shape: tensor.shape.clone(), values }
    }
}
