//! A second look, before a mistake is named that no stage shows by itself.
//!
//! Such a name stands on a slope and its error, and the error stands on five runs of right code: too few to know it
//! well. Every verdict tries hundreds of hypotheses, and with an error that is by chance too small one in some thousands
//! would be named on right code. Sixteen more runs are made for the one that is about to be named.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Probe, Rounding};

use crate::naming::scene::{Scene, Trial};
use crate::naming::slope::{Part, Slope};
use crate::noise::run_each;
use crate::stage::Stage;
use crate::{ReplayError, Trace};

/// The runs made for a second look. They take the seeds after those of [`Rounding::NOISE`].
const SEEDS: std::ops::Range<u64> = 4..20;

impl Scene<'_> {
    /// Whether `stages` still show `trial`'s mistake when right code's own way in its direction is measured anew.
    pub fn confirms(&self, trial: &Trial, stages: &BTreeSet<Probe>) -> Result<bool, ReplayError> {
        let moves_a_cast = self.moves_a_cast(trial.hypothesis.mistake);
        let slope = self.second_slope(&trial.compared, stages, moves_a_cast)?;
        Ok(trial.shows(slope) || (!moves_a_cast && slope.stands_out()))
    }

    /// The slope of `stages` towards `predicted`, its error by sixteen more runs; of a mistake that `moves_a_cast`, both
    /// sides rounded where transformers rounds.
    pub fn second_slope(
        &self,
        predicted: &Trace,
        stages: &BTreeSet<Probe>,
        moves_a_cast: bool,
    ) -> Result<Slope, ReplayError> {
        let way = if moves_a_cast { Rounding::Reordered } else { Rounding::Stochastic };
        let roundings: Vec<Rounding> = SEEDS.map(way).collect();
        let runs = run_each(self.replayer, self.given, stages, &self.planted, self.level, &roundings)?;
        let by_probe: BTreeMap<Probe, &Stage> = self.by_probe();
        let part = |probe: &Probe| {
            let (stage, mistaken) = (by_probe.get(probe)?, predicted.get(probe)?.values.to_f64());
            let right = if moves_a_cast { stage.rounded() } else { &stage.exact };
            let off = |run: &Trace| {
                let values = run.get(probe)?.values.to_f64();
                Some(values.iter().zip(right).map(|(value, right)| value - right).collect())
            };
            let noise: Vec<Vec<f64>> = runs.iter().map(off).collect::<Option<_>>()?;
            Some(Part::of(stage, right, &mistaken, &noise))
        };
        let parts: Vec<Part> = stages.iter().filter_map(part).collect();
        Ok(Slope::of(parts.iter()))
    }
}
