//! A candidate beside the model: what was recorded, what each stage is recomputed from, and what a verdict says of a stage.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Given, HostTensor, Kind, Precision, Probe, Replay, ReplayError, Replayer, Rounding, Trace};

use crate::Candidate;
use crate::coverage::{Coverage, NotRecorded};
use crate::limits::TENSOR_LIMIT;
use crate::metrics::Metrics;
use crate::noise::Noise;
use crate::picture::Detail;
use crate::precision::infer_storage;
use crate::segments::Segments;
use crate::stage::{Fit, Stage};
use crate::verdict::{Class, Divergence, StageVerdict, Start};

/// A candidate with everything that must be known before it can be judged.
pub struct Case<'a> {
    /// Who is judged.
    pub candidate: &'a Candidate,
    /// The model.
    pub replayer: &'a dyn Replayer,
    /// The reference's own run from the token ids.
    reference: Trace,
    /// What was recorded and can be judged.
    pub recorded: BTreeSet<Probe>,
    /// Of it, what has a row for every token.
    whole: BTreeSet<Probe>,
    /// For each, the stages that are recomputed to predict it.
    pub segments: Segments,
    /// The tokens of the rows that the others have.
    rows: Vec<usize>,
    /// The precision was chosen because everything fits in it, with no projection to tell it by.
    pub by_fallback: bool,
    /// What the verdict says of each stage.
    pub detail: Detail,
    /// What is remarked of it, a sentence each.
    pub notes: Vec<String>,
}

impl<'a> Case<'a> {
    pub fn open(candidate: &'a Candidate, replayer: &'a dyn Replayer, detail: Detail) -> Result<Case<'a>, ReplayError> {
        let given: BTreeSet<Probe> =
            candidate.aligned.trace.keys().copied().filter(|probe| *probe != Probe::TOKEN_IDS).collect();
        let recorded: BTreeSet<Probe> = given.iter().chain(candidate.aligned.fragments.keys()).copied().collect();
        let storage =
            candidate.declared.unwrap_or_else(|| infer_storage(&candidate.aligned.trace, &candidate.aligned.fragments));
        let tokens = replayer.tokens();
        let start: Trace = candidate
            .aligned
            .trace
            .iter()
            .filter(|(p, _)| **p == Probe::TOKEN_IDS)
            .map(|(p, t)| (*p, t.clone()))
            .collect();
        let plain = Precision::plain(storage);
        replayer.begins("the reference from the token ids", 1);
        let reference = replayer.replay(Replay {
            given: Given::whole(&start),
            wanted: &recorded,
            mistakes: &[],
            simulation: plain.simulation(Rounding::Exact),
        })?;
        let rows = candidate.aligned.rows.positions(tokens);
        let notes = candidate.aligned.remarks.iter().chain(&candidate.aligned.misshapen).cloned().collect();
        let whole =
            given.iter().copied().filter(|probe| is_whole(*probe, &candidate.aligned.trace[probe], tokens)).collect();
        let segments = Segments::of(replayer.graph(), &recorded, &given, &whole);
        Ok(Case { candidate, replayer, reference, recorded, whole, segments, rows, by_fallback: false, detail, notes })
    }

    /// What the reference starts from.
    pub fn given(&self) -> Given<'_> {
        Given { trace: &self.candidate.aligned.trace, rows: &self.rows }
    }

    /// The recorded stages, with predictions and noise.
    pub fn stages(&self, noise: &Noise) -> Vec<Stage> {
        let stage = |probe: &Probe| match self.candidate.aligned.trace.get(probe) {
            Some(tensor) => Stage::new(*probe, tensor, noise, &self.judged(*probe)),
            None => Stage::of_fragment(*probe, self.candidate.aligned.fragments.get(probe)?, noise),
        };
        self.recorded.iter().filter_map(stage).collect()
    }

    /// Whether each token's row of `probe` is the candidate's.
    fn judged(&self, probe: Probe) -> Vec<bool> {
        let whole = self.whole.contains(&probe);
        (0..self.replayer.tokens()).map(|token| whole || self.rows.binary_search(&token).is_ok()).collect()
    }

    pub fn coverage(&self, stages: &[Stage]) -> Coverage {
        let graph = self.replayer.graph();
        let layers: BTreeSet<usize> = self.recorded.iter().filter_map(|probe| probe.layer()).collect();
        let tokens: BTreeSet<usize> = stages.iter().flat_map(Stage::tokens).collect();
        Coverage {
            tokens: tokens.len(),
            of_tokens: self.replayer.tokens(),
            last_token: tokens.last().copied(),
            layers: layers.into_iter().collect(),
            of_layers: graph.config().num_hidden_layers,
            probes: self.recorded.len(),
            of: graph.probes().len() - 1,
            values: stages.iter().map(Stage::values).sum(),
            of_values: stages.iter().map(Stage::all_values).sum(),
            statistics: stages.iter().map(Stage::statistics).sum(),
            ignored: self.candidate.aligned.ignored.clone(),
            unknown: self.candidate.aligned.unknown,
            not_comparable: self.candidate.aligned.not_comparable.clone(),
            not_recorded: NotRecorded::of(
                graph.probes().filter(|probe| *probe != Probe::TOKEN_IDS && !self.recorded.contains(probe)),
            ),
        }
    }

    pub fn divergence(&self, stage: &Stage) -> Divergence {
        let at = stage.worst();
        let (local_error, budget) = stage.local_error_and_budget();
        let own = &self.segments.own[&stage.probe];
        Divergence {
            probe: stage.probe.to_string(),
            token: Some(stage.layout.row(at)).filter(|row| *row < stage.layout.tokens),
            statistic: stage.statistic(at),
            coordinate: stage.coordinate(at),
            values: [stage.recorded[at], stage.exact[at]],
            from: match own {
                own if own.iter().any(|probe| probe.kind() == Kind::Embed) => Start::TokenIds,
                own if *own != self.segments.reach[&stage.probe] => Start::RecordedRows,
                own if own.len() > 1 => Start::Recorded,
                _ => Start::OwnInputs,
            },
            local_error,
            budget,
        }
    }

    pub fn stage_verdict(
        &self,
        stage: &Stage,
        fit: Fit,
        faults: &BTreeMap<Probe, String>,
        precision: Precision,
    ) -> StageVerdict {
        let (local_error, budget) = stage.local_error_and_budget();
        let class = if faults.contains_key(&stage.probe) {
            Class::Fault
        } else if !fit.passes() {
            Class::Wrong
        } else if stage.is_exact(precision.storage) {
            Class::Exact
        } else {
            Class::Numeric
        };
        let select = |values: &[f64]| stage.indices().map(|at| values[at]).collect::<Vec<f64>>();
        let recorded = select(&stage.recorded);
        let reference = self.reference.get(&stage.probe).map(|t| select(&stage.seen(t)));
        let width = stage.shape.last().copied().unwrap_or(1);
        let against =
            |reference: &[f64]| Metrics::of(stage.probe.is_logits(), &recorded, reference, width, precision.storage);
        let end_to_end = reference.as_deref().map(against);
        StageVerdict {
            probe: stage.probe.to_string(),
            local_error,
            end_to_end_error: end_to_end.as_ref().map(|metrics| metrics.relative_l2),
            budget,
            budget_used: fit.size() / TENSOR_LIMIT,
            class,
            recomputed: self.segments.own[&stage.probe].len(),
            metrics: against(&select(&stage.exact)),
            end_to_end,
            picture: (self.detail == Detail::Pictures).then(|| stage.picture()),
        }
    }
}

/// Whether `tensor` has a row for each token.
fn is_whole(probe: Probe, tensor: &HostTensor, tokens: usize) -> bool {
    tensor.shape.get(probe.token_axis()) == Some(&tokens)
}
