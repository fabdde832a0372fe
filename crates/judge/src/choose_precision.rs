//! Which precision a candidate was computed in. A lower precision puts all projections off by about as much; a mistake seldom spoils all.

use std::collections::BTreeSet;

use loupe_spec::{Accumulator, Arithmetic, Kind, Precision, Probe, ReplayError};

use crate::case::Case;
use crate::error::JudgeError;
use crate::limits::{ELEVATED, FAR, MOST_FAIL, TENSOR_LIMIT};
use crate::noise::{Noise, measure};
use crate::precision::{infer_decimals, infer_storage, ladder, median};
use crate::stage::Stage;

/// Whether some tokens of `stage` are within the limit and others far beyond it, which no precision explains.
fn is_off_in_part(stage: &Stage) -> bool {
    let sizes = stage.row_sizes(&stage.exact);
    sizes.iter().any(|size| *size <= TENSOR_LIMIT) && sizes.iter().any(|size| *size > FAR * TENSOR_LIMIT)
}

/// Picks stages, by their probe and the stages that are recomputed to predict it.
type Pick<'p> = &'p dyn Fn(Probe, &BTreeSet<Probe>) -> bool;

/// The precision to judge a candidate by.
pub struct Chosen {
    /// That precision, with the noise of right code in it.
    pub noise: Noise,
    /// The most exact precision, if another was chosen only because everything fits in it, with no projection to tell it by.
    pub strictest: Option<Noise>,
    /// Lower precisions that may still be the candidate's, if the projections are raised.
    pub lesser: Vec<Precision>,
}

impl Case<'_> {
    /// The first precision in which the median of the projections is within the limit, since a mistake makes some of them wrong and a low
    /// precision all. Where no projection was recorded together with its input: the first in which everything is right.
    pub fn choose_precision(&self) -> Result<Chosen, JudgeError> {
        let (trace, fragments) = (&self.candidate.aligned.trace, self.candidate.fragments_as_tensors());
        let storage =
            self.candidate.declared.unwrap_or_else(|| infer_storage(trace, &self.candidate.aligned.fragments));
        // The decimals of a fragment say nothing of whole tensors, where there are any.
        let printed = if self.segments.given.is_empty() { &fragments } else { trace };
        let mut precisions = ladder(storage, self.replayer.weights_dtype(), infer_decimals(printed));
        if let Some(arithmetic) = self.candidate.arithmetic {
            let known: BTreeSet<&str> =
                precisions.iter().filter_map(|l| l.arithmetic()).map(Arithmetic::name).collect();
            if !known.contains(arithmetic.name()) {
                let (path, known) = (self.candidate.path.clone(), known.into_iter().map(str::to_string).collect());
                return Err(JudgeError::Arithmetic { path, arithmetic, storage, known });
            }
            precisions.retain(|precision| precision.arithmetic() == Some(arithmetic));
        }
        let mut first: Option<Noise> = None;
        let mut raised = false;
        let mut lesser = Vec::new();
        for (at, precision) in precisions.iter().enumerate() {
            let noise = self.noise(*precision)?;
            let stages = self.stages(&noise);
            // The precision of operands shows in products with a weight.
            let is_linear = |probe: Probe| probe.kind() == Kind::Linear;
            let has_own_input = |probe: Probe, segment: &BTreeSet<Probe>| is_linear(probe) && segment.len() == 1;
            let projections = self.sizes(&stages, has_own_input);
            let untold = projections.is_empty();
            let middle = median(&projections);
            // A lower precision would show in all projections, or in all segments that contain one. The head is left out of these
            // where possible, since many engines keep it in a higher precision.
            let contains_projection = |segment: &BTreeSet<Probe>| segment.iter().any(|inner| is_linear(*inner));
            let bodies: [Pick<'_>; 4] = [
                &|probe, segment| !probe.is_logits() && has_own_input(probe, segment),
                &|probe, segment| !probe.is_logits() && contains_projection(segment),
                &has_own_input,
                &|_, segment| contains_projection(segment),
            ];
            let bodies = bodies.into_iter().map(|body| self.sizes(&stages, body));
            let body = bodies.into_iter().find(|body| !body.is_empty()).unwrap_or_default();
            let is_raised = |middle: Option<f64>| middle.is_some_and(|middle| middle > TENSOR_LIMIT / ELEVATED);
            raised |= first.is_none() && is_raised(middle) && is_raised(median(&body));
            let fits = match middle {
                Some(middle) => middle <= TENSOR_LIMIT,
                None => stages.iter().all(|stage| stage.fit(&stage.exact).passes()),
            };
            if fits {
                let lesser = if raised { precisions[at + 1..].to_vec() } else { Vec::new() };
                return Ok(Chosen { noise, strictest: first.filter(|_| untold), lesser });
            }
            let is_first = first.is_none();
            first.get_or_insert(noise);
            let passing = body.iter().filter(|misfit| **misfit <= TENSOR_LIMIT).count();
            let in_part = stages
                .iter()
                .any(|stage| contains_projection(&self.segments.own[&stage.probe]) && is_off_in_part(stage));
            let some_right = passing * MOST_FAIL > body.len() || in_part;
            // Some projections are right in the most exact precision: a mistake spoils the others.
            if is_first && some_right {
                // Sums kept in 16 bits lose about as much as the limit allows: some projections are within it although all are raised.
                let halves =
                    precisions.iter().filter(|precision| matches!(precision.accumulator, Accumulator::Half(_)));
                lesser = if raised { halves.copied().collect() } else { Vec::new() };
                break;
            }
            // A report that says "strict" is taken at its word, unless a projection says otherwise.
            if untold && self.candidate.strict {
                break;
            }
        }
        // Nothing fits. The most exact precision shows a mistake best.
        let noise = first.ok_or_else(|| ReplayError("no precision to judge by".to_string()))?;
        Ok(Chosen { noise, strictest: None, lesser })
    }

    /// What right code loses on these inputs in `precision`.
    pub fn noise(&self, precision: Precision) -> Result<Noise, ReplayError> {
        let with = precision.arithmetic().map(|arithmetic| format!(" with {}", arithmetic.name()));
        self.replayer.begins(&format!("what right code loses in {}{}", precision.storage, with.unwrap_or_default()), 1);
        measure(self.replayer, self.given(), &self.recorded, &[], precision)
    }

    /// The sizes of the residuals of the stages picked by `pick`, in units of the noise.
    fn sizes(&self, stages: &[Stage], pick: impl Fn(Probe, &BTreeSet<Probe>) -> bool) -> Vec<f64> {
        let picked = stages.iter().filter(|stage| pick(stage.probe, &self.segments.own[&stage.probe]));
        picked.map(|stage| stage.fit(&stage.exact).tensor).collect()
    }
}
