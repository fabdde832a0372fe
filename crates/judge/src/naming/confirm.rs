//! A second look, before a mistake is named that no stage shows by itself.
//!
//! Such a name stands on a slope and its error, and the error stands on five runs of right code: too few to know it
//! well. Every verdict tries hundreds of hypotheses, and with an error that is by chance too small one in some thousands
//! would be named on right code. Sixteen more runs are made for each that seems present, until one stands.

use std::collections::BTreeSet;

use loupe_spec::{Probe, ReplayError, Rounding, Trace};

use crate::naming::scene::{Scene, Trial};
use crate::naming::slope::{Part, Slope};
use crate::noise::run_each;

/// The runs made for a second look: none of the first look's seeds.
const SEEDS: std::ops::Range<u64> = 0x20..0x30;
/// Runs side by side, as in the first look.
const TOGETHER: usize = Rounding::NOISE.len();

impl Scene<'_> {
    /// The slope of `stages` towards `trial`'s mistake when right code's own way in its direction is measured anew, if they
    /// still show it.
    pub fn confirms(&self, trial: &Trial, stages: &BTreeSet<Probe>) -> Result<Option<Slope>, ReplayError> {
        let moves_a_cast = self.moves_a_cast(trial.hypothesis.mistake);
        let slope = self.second_slope(&trial.compared, stages, moves_a_cast)?;
        Ok(Some(slope).filter(|slope| trial.shows(*slope) || (!moves_a_cast && slope.stands_out())))
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
        let mut runs = Vec::new();
        for some in roundings.chunks(TOGETHER) {
            runs.extend(run_each(self.replayer, self.given, stages, &self.planted, self.level, some)?);
        }
        let by_probe = self.by_probe();
        let part = |probe: &Probe| {
            let stage = by_probe.get(probe)?;
            let mistaken = stage.seen(predicted.get(probe)?);
            let right = if moves_a_cast { stage.rounded() } else { &stage.exact };
            let off = |run: &Trace| {
                let values = stage.seen(run.get(probe)?);
                Some(values.iter().zip(right).map(|(value, right)| value - right).collect())
            };
            let noise: Vec<Vec<f64>> = runs.iter().map(off).collect::<Option<_>>()?;
            Some(Part::of(stage, right, &mistaken, &noise))
        };
        let parts: Vec<Part> = stages.iter().filter_map(part).collect();
        Ok(Slope::of(parts.iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two runs of one seed draw the same noise, and the same weights and inputs where those are drawn.
    #[test]
    fn no_run_of_the_second_look_is_one_of_the_first() {
        let second = SEEDS.flat_map(|seed| [Rounding::Stochastic(seed), Rounding::Reordered(seed)]);
        let seeds: Vec<u64> = Rounding::NOISE.into_iter().chain(second).map(Rounding::seed).collect();
        assert_eq!(seeds.iter().collect::<BTreeSet<_>>().len(), seeds.len(), "{seeds:?}");
    }
}
