//! Which precision a candidate was computed in: what it loses shows in every layer and in every token.

use std::collections::BTreeSet;

use loupe_spec::{Accumulator, Arithmetic, Kind, Probe, ReplayError};

use crate::case::Case;
use crate::error::JudgeError;
use crate::limits::{ELEVATED, FAR, MOST_FAIL, TENSOR_LIMIT};
use crate::noise::{Level, Noise, measure};
use crate::precision::{infer_decimals, infer_storage, ladder, median};
use crate::stage::Stage;

/// Whether some tokens of `stage` are right where others are far off: a precision loses in every row.
fn is_off_in_part(stage: &Stage) -> bool {
    let sizes = stage.row_sizes(&stage.exact);
    sizes.iter().any(|size| *size <= TENSOR_LIMIT) && sizes.iter().any(|size| *size > FAR * TENSOR_LIMIT)
}

/// Picks stages by their probe and its segment.
type Pick<'p> = &'p dyn Fn(Probe, &BTreeSet<Probe>) -> bool;

/// A precision.
pub struct Chosen {
    /// How far right code in it may be off.
    pub noise: Noise,
    /// Where it was climbed to with no projection to tell it by: the one that loses least.
    pub strictest: Option<Noise>,
    /// Those that lose more, where the projections are off as a body.
    pub lesser: Vec<Level>,
}

impl Case<'_> {
    /// The first precision at which the projections are right as a body: a mistake spoils some of them, a precision
    /// all. Without projections of their own, the first at which everything is.
    pub fn choose_level(&self) -> Result<Chosen, JudgeError> {
        let (trace, fragments) = (&self.candidate.trace, self.candidate.fragments_as_tensors());
        let storage = self.candidate.declared.unwrap_or_else(|| infer_storage(trace, &self.candidate.fragments));
        // Where there are tensors, the decimals of a fragment are its own.
        let printed = if self.segments.given.is_empty() { &fragments } else { trace };
        let mut levels = ladder(storage, self.replayer.weights_dtype(), infer_decimals(printed));
        if let Some(arithmetic) = self.candidate.arithmetic {
            let known: BTreeSet<&str> = levels.iter().filter_map(|l| l.arithmetic()).map(Arithmetic::name).collect();
            if !known.contains(arithmetic.name()) {
                let (path, known) = (self.candidate.path.clone(), known.into_iter().map(str::to_string).collect());
                return Err(JudgeError::Arithmetic { path, arithmetic, storage, known });
            }
            levels.retain(|level| level.arithmetic() == Some(arithmetic));
        }
        let mut first: Option<Noise> = None;
        let mut off_as_a_body = false;
        let mut lesser = Vec::new();
        for (at, level) in levels.iter().enumerate() {
            let noise = measure(self.replayer, self.given(), &self.recorded, &[], *level)?;
            let stages = self.stages(&noise);
            // Products with a weight tell how precise operands are.
            let is_linear = |probe: Probe| probe.kind() == Kind::Linear;
            let is_alone = |probe: Probe, segment: &BTreeSet<Probe>| is_linear(probe) && segment.len() == 1;
            let projections = self.misfits(&stages, is_alone);
            let alone = projections.is_empty();
            let middle = median(&projections);
            // A lesser precision would show in all of them, or in all segments that projections are hidden in. The head's is
            // its own matter: many engines keep it as it is.
            let is_hidden = |segment: &BTreeSet<Probe>| segment.iter().any(|inner| is_linear(*inner));
            let bodies: [Pick<'_>; 4] = [
                &|probe, segment| !probe.is_logits() && is_alone(probe, segment),
                &|probe, segment| !probe.is_logits() && is_hidden(segment),
                &is_alone,
                &|_, segment| is_hidden(segment),
            ];
            let bodies = bodies.into_iter().map(|body| self.misfits(&stages, body));
            let body = bodies.into_iter().find(|body| !body.is_empty()).unwrap_or_default();
            let is_off = |middle: Option<f64>| middle.is_some_and(|middle| middle > TENSOR_LIMIT / ELEVATED);
            off_as_a_body |= first.is_none() && is_off(middle) && is_off(median(&body));
            let fits = match middle {
                Some(middle) => middle <= TENSOR_LIMIT,
                None => stages.iter().all(|stage| stage.fit(&stage.exact).passes()),
            };
            if fits {
                let lesser = if off_as_a_body { levels[at + 1..].to_vec() } else { Vec::new() };
                return Ok(Chosen { noise, strictest: first.filter(|_| alone), lesser });
            }
            let is_first = first.is_none();
            first.get_or_insert(noise);
            let passing = body.iter().filter(|misfit| **misfit <= TENSOR_LIMIT).count();
            let in_part =
                stages.iter().any(|stage| is_hidden(&self.segments.own[&stage.probe]) && is_off_in_part(stage));
            let some_right = passing * MOST_FAIL > body.len() || in_part;
            // A report that says strict is held to it where no projection says otherwise.
            if is_first && some_right {
                // Some right by chance and all off as a body: sums in a half lose about as much as the limit allows.
                let halves = levels.iter().filter(|level| matches!(level.accumulator, Accumulator::Half(_)));
                lesser = if off_as_a_body { halves.copied().collect() } else { Vec::new() };
                break;
            }
            if alone && self.candidate.strict {
                break;
            }
        }
        // Nothing fits: judge by the strictest, where a mistake stands out most.
        let noise = first.ok_or_else(|| ReplayError("no precision to judge by".to_string()))?;
        Ok(Chosen { noise, strictest: None, lesser })
    }

    /// How far the stages that `pick` picks, by their probe and its segment, are off.
    fn misfits(&self, stages: &[Stage], pick: impl Fn(Probe, &BTreeSet<Probe>) -> bool) -> Vec<f64> {
        let picked = stages.iter().filter(|stage| pick(stage.probe, &self.segments.own[&stage.probe]));
        picked.map(|stage| stage.fit(&stage.exact).tensor).collect()
    }
}
