//! A second look, before a mistake is named that no stage shows by itself.
//!
//! Such a name rests on a slope and its standard error, and what right code adds to the error is estimated from five runs, for a
//! misplaced cast from one. That is few: now and then the estimate is too small, and since every verdict tries hundreds of hypotheses,
//! right code would be given a name once in some thousands of hypotheses. So the error is estimated again from sixteen other runs,
//! for one mistake after the other, until one is confirmed. The slope itself stays: it is of the same residual.

use std::collections::BTreeSet;

use loupe_spec::{Probe, ReplayError, Rounding, Trace};

use crate::naming::comparison::{Comparison, Trial};
use crate::naming::slope::{Slope, Sums};
use crate::noise::run_each;

/// The runs made for a second look: none of the first look's seeds.
const SEEDS: std::ops::Range<u64> = 0x20..0x30;
/// Runs side by side: as many as the first look has noisy ones.
const TOGETHER: usize = Rounding::NOISE.len();

impl Comparison<'_> {
    /// The slope of `stages` on the mistake of `trial`, with its error estimated from sixteen new runs; `None` unless it still shows
    /// the mistake or, but for a misplaced cast, at least stands out.
    pub fn confirms(&self, trial: &Trial, stages: &BTreeSet<Probe>) -> Result<Option<Slope>, ReplayError> {
        let is_compared_rounded = self.is_compared_rounded(trial.hypothesis.mistake);
        let slope = self.second_slope(&trial.compared, stages, is_compared_rounded)?;
        Ok(Some(slope).filter(|slope| trial.shows(*slope) || (!is_compared_rounded && slope.stands_out())))
    }

    /// The slope of `stages` on what distinguishes `predicted` from the reference, with its error estimated from sixteen new runs. For a
    /// misplaced cast both predictions are rounded where transformers rounds.
    pub fn second_slope(
        &self,
        predicted: &Trace,
        stages: &BTreeSet<Probe>,
        is_compared_rounded: bool,
    ) -> Result<Slope, ReplayError> {
        let way = if is_compared_rounded { Rounding::Reordered } else { Rounding::Stochastic };
        let roundings: Vec<Rounding> = SEEDS.map(way).collect();
        let mut runs = Vec::new();
        self.replayer.begins("a second look", roundings.len().div_ceil(TOGETHER));
        for some in roundings.chunks(TOGETHER) {
            self.replayer.part(1);
            runs.extend(run_each(self.replayer, self.given, stages, &self.planted, self.precision, some)?);
        }
        let by_probe = self.by_probe();
        let sums = |probe: &Probe| {
            let stage = by_probe.get(probe)?;
            let mistaken = stage.seen(predicted.get(probe)?);
            let right = if is_compared_rounded { stage.rounded() } else { &stage.exact };
            let off = |run: &Trace| {
                let values = stage.seen(run.get(probe)?);
                Some(values.iter().zip(right).map(|(value, right)| value - right).collect())
            };
            let noise: Vec<Vec<f64>> = runs.iter().map(off).collect::<Option<_>>()?;
            Some(Sums::of(stage, right, &mistaken, &noise))
        };
        let sums: Vec<Sums> = stages.iter().filter_map(sums).collect();
        Ok(Slope::of(sums.iter()))
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
