//! The verdict, in the order of rising effort.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{
    Arithmetic, Dtype, Given, HostTensor, Kind, Probe, Replay, ReplayError, Replayer, Rounding, Trace, echo,
};

use crate::Candidate;
use crate::choose_level::Chosen;
use crate::conclude::{Seen, conclude};
use crate::faults::{f16_overflow, fault};
use crate::metrics::{Metrics, relative_l2};
use crate::naming::Search;
use crate::noise::{Level, Noise, measure};
use crate::precision::infer_storage;
use crate::segments::Segments;
use crate::stage::{Fit, Stage, TENSOR_LIMIT};
use crate::verdict::{
    CandidateInfo, Class, Coverage, Divergence, Judgement, SCHEMA, StageVerdict, Start, Unseen, Verdict,
};

/// A verdict, and what it was judged by.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The precision that it takes the candidate to have computed in.
    pub level: Level,
    /// The stages that fail and that nothing explains; none where shapes or faults are the answer.
    pub unnamed: Vec<Probe>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// A stage could not be recomputed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The config names an arithmetic that values of this storage do not come from.
    #[error(
        "\"candidate_dtype\": \"{arithmetic}\" is no arithmetic of values stored in {storage}, as {}'s are; leave it out, \
         or say one of {}", echo(.path), .known.join(", ")
    )]
    Arithmetic {
        /// The candidate's file.
        path: String,
        /// As named.
        arithmetic: Arithmetic,
        /// What its values are stored in.
        storage: Dtype,
        /// Those that are.
        known: Vec<String>,
    },
    /// Tensors were recorded, and none of their values can be held against anything.
    #[error(
        "{}: nothing to compare: no value of {} counts (a score that the engine masked in place, or what does not \
         follow from numbers, does not)", echo(.path), .stages.join(", ")
    )]
    Nothing {
        /// The candidate's file.
        path: String,
        /// What was recorded.
        stages: Vec<String>,
    },
}

/// Judges one candidate against the model behind `replayer`.
///
/// # Errors
/// A stage that cannot be recomputed, or nothing to hold against it.
pub fn judge(candidate: &Candidate, replayer: &dyn Replayer) -> Result<Judged, JudgeError> {
    let mut judged = judge_once(candidate, replayer)?;
    if judged.verdict.verdict == Judgement::BackendFault {
        judged.verdict.recording_suspect = recording_suspect(candidate, &judged, replayer)?;
    }
    Ok(judged)
}

fn judge_once(candidate: &Candidate, replayer: &dyn Replayer) -> Result<Judged, JudgeError> {
    let mut case = Case::open(candidate, replayer)?;
    let Chosen { noise, strictest, lesser } = case.choose_level()?;
    // A precision that is taken only because everything then fits must not swallow a mistake that has a name or a value.
    if let Some(strictest) = strictest {
        let judged = case.judge_at(&strictest)?;
        let explained = !judged.verdict.mistakes.is_empty() || !judged.verdict.fitted.is_empty();
        if explained && judged.unnamed.is_empty() {
            return Ok(judged);
        }
        // Weights rounded to a half predict other values: to hit those by chance is as unlikely as to hit the right ones.
        // And a report says how it was made.
        case.by_fallback = candidate.backend.is_none() && noise.level.weights.half().is_none();
    }
    let judged = case.judge_at(&noise)?;
    if judged.unnamed.is_empty() {
        return Ok(judged);
    }
    // An engine that says f64 may compute some of it in f32, as transformers does its norms.
    if noise.level == Level::plain(Dtype::F64) && candidate.declared.is_none() {
        let noise = measure(replayer, case.given(), &case.recorded, &[], Level::plain(Dtype::F32))?;
        let in_f32 = case.judge_at(&noise)?;
        if in_f32.unnamed.len() < judged.unnamed.len() {
            return Ok(in_f32);
        }
    }
    // Where the projections are off as a body, and not by a mistake that has a name, it may be a lesser precision still.
    for level in lesser {
        let noise = measure(replayer, case.given(), &case.recorded, &[], level)?;
        if case.stages(&noise).iter().all(|stage| stage.fit(&stage.exact).passes()) {
            return case.judge_at(&noise);
        }
    }
    Ok(judged)
}

impl Case<'_> {
    /// The verdict at the precision of `noise`.
    fn judge_at(&self, noise: &Noise) -> Result<Judged, JudgeError> {
        let (case, candidate, replayer) = (self, self.candidate, self.replayer);
        let stages = case.stages(noise);
        if candidate.misshapen.is_empty() && stages.iter().all(|stage| stage.indices().next().is_none()) {
            let stages = case.recorded.iter().map(ToString::to_string).collect();
            return Err(JudgeError::Nothing { path: candidate.path.clone(), stages });
        }
        let fits: BTreeMap<Probe, Fit> = stages.iter().map(|stage| (stage.probe, stage.fit(&stage.exact))).collect();
        let storage = noise.level.storage;
        let failing: BTreeSet<Probe> = fits.iter().filter(|(_, fit)| !fit.passes()).map(|(probe, _)| *probe).collect();
        let failed = || stages.iter().filter(|stage| failing.contains(&stage.probe));
        let overflows: BTreeMap<Probe, String> =
            failed().filter_map(|stage| f16_overflow(stage, storage).map(|what| (stage.probe, what))).collect();
        let faults: BTreeMap<Probe, String> = failed()
            .filter(|stage| !overflows.contains_key(&stage.probe))
            .filter_map(|stage| fault(stage).map(|what| (stage.probe, what)))
            .collect();

        let search =
            Search { replayer, given: case.given(), segments: &case.segments, stages: &stages, level: noise.level };
        let told = |probe: &Probe| faults.contains_key(probe) || overflows.contains_key(probe);
        let unexplained: BTreeSet<Probe> = failing.iter().copied().filter(|probe| !told(probe)).collect();
        // Noise that is wide only so that all fits shows nothing below it.
        let sound = faults.is_empty() && overflows.is_empty() && !case.by_fallback;
        let findings = search.run(&unexplained, sound)?;

        let mut notes = case.notes.clone();
        notes.extend(faults.values().chain(overflows.values()).cloned());
        let seen = Seen {
            misshapen: !candidate.misshapen.is_empty(),
            by_fallback: case.by_fallback,
            faults: !faults.is_empty(),
            overflows: !overflows.is_empty(),
            all_exact: stages.iter().all(|stage| stage.is_exact(storage)),
        };
        let (verdict, detail) = conclude(noise.level, seen, &findings, &mut notes);
        let stage_verdicts =
            stages.iter().map(|stage| case.stage_verdict(stage, fits[&stage.probe], &faults, noise.level)).collect();
        let first = stages.iter().find(|stage| failing.contains(&stage.probe));
        // Neither shapes nor faults are a matter of names.
        let of_names = verdict == Judgement::Architectural && candidate.misshapen.is_empty();
        let unexplained = findings.unnamed.clone();
        let unnamed = if of_names { findings.unnamed } else { Vec::new() };
        let verdict = Verdict {
            schema: SCHEMA.into(),
            verdict,
            detail,
            exit_code: verdict.exit_code(),
            candidate: CandidateInfo {
                path: candidate.path.clone(),
                backend: candidate.backend.clone(),
                check: candidate.check.clone(),
                dtype: noise.level.storage,
                dtype_inferred: candidate.declared.is_none(),
                decimals: noise.level.decimals,
            },
            coverage: case.coverage(&stages),
            first_divergence: first.map(|stage| case.divergence(stage)),
            indistinguishable: nowhere(&findings.unseen),
            mistakes: findings.named,
            fitted: findings.fitted,
            unexplained,
            unseen: findings.unseen,
            stimuli: Vec::new(),
            next: None,
            recording_suspect: false,
            other_rows: None,
            structure: candidate.misshapen.clone(),
            notes,
            stages: stage_verdicts,
        };
        Ok(Judged { verdict, level: noise.level, unnamed })
    }
}

/// The ids that can be seen nowhere, each once.
fn nowhere(unseen: &[Unseen]) -> Vec<String> {
    let ids: BTreeSet<&str> =
        unseen.iter().filter(|unseen| unseen.sites.is_none()).map(|unseen| unseen.id.as_str()).collect();
    ids.into_iter().map(str::to_string).collect()
}

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
    /// What each is recomputed through.
    pub segments: Segments,
    /// The tokens of what has not.
    rows: Vec<usize>,
    /// The precision was taken because it fits, with nothing to tell it by.
    by_fallback: bool,
    notes: Vec<String>,
}

impl<'a> Case<'a> {
    fn open(candidate: &'a Candidate, replayer: &'a dyn Replayer) -> Result<Case<'a>, ReplayError> {
        let given: BTreeSet<Probe> =
            candidate.trace.keys().copied().filter(|probe| *probe != Probe::TOKEN_IDS).collect();
        let recorded: BTreeSet<Probe> = given.iter().chain(candidate.fragments.keys()).copied().collect();
        let storage = candidate.declared.unwrap_or_else(|| infer_storage(&candidate.trace, &candidate.fragments));
        let tokens = replayer.tokens();
        let start: Trace =
            candidate.trace.iter().filter(|(p, _)| **p == Probe::TOKEN_IDS).map(|(p, t)| (*p, t.clone())).collect();
        let plain = Level::plain(storage);
        let reference = replayer.replay(Replay {
            given: Given::whole(&start),
            wanted: &recorded,
            mistakes: &[],
            simulation: plain.simulation(Rounding::Exact),
        })?;
        let rows = candidate.rows.positions(tokens);
        let notes = candidate.remarks.iter().chain(&candidate.misshapen).cloned().collect();
        let whole = given.iter().copied().filter(|probe| is_whole(*probe, &candidate.trace[probe], tokens)).collect();
        let segments = Segments::of(replayer.graph(), &recorded, &given, &whole);
        Ok(Case { candidate, replayer, reference, recorded, whole, segments, rows, by_fallback: false, notes })
    }

    /// What the reference starts from.
    pub fn given(&self) -> Given<'_> {
        Given { trace: &self.candidate.trace, rows: &self.rows }
    }

    /// The recorded stages, beside the noise of a precision.
    pub fn stages(&self, noise: &Noise) -> Vec<Stage> {
        let stage = |probe: &Probe| match self.candidate.trace.get(probe) {
            Some(tensor) => Stage::new(*probe, tensor, noise, &self.judged(*probe)),
            None => Stage::of_fragment(*probe, self.candidate.fragments.get(probe)?, noise),
        };
        self.recorded.iter().filter_map(stage).collect()
    }

    /// Whether each token's row of `probe` is the candidate's.
    fn judged(&self, probe: Probe) -> Vec<bool> {
        let whole = self.whole.contains(&probe);
        (0..self.replayer.tokens()).map(|token| whole || self.rows.binary_search(&token).is_ok()).collect()
    }

    fn coverage(&self, stages: &[Stage]) -> Coverage {
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
            ignored: self.candidate.ignored.clone(),
            unknown: self.candidate.unknown,
            not_comparable: self.candidate.not_comparable.clone(),
        }
    }

    fn divergence(&self, stage: &Stage) -> Divergence {
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

    fn stage_verdict(&self, stage: &Stage, fit: Fit, faults: &BTreeMap<Probe, String>, level: Level) -> StageVerdict {
        let (local_error, budget) = stage.local_error_and_budget();
        let class = if faults.contains_key(&stage.probe) {
            Class::Fault
        } else if !fit.passes() {
            Class::Wrong
        } else if stage.is_exact(level.storage) {
            Class::Exact
        } else {
            Class::Numeric
        };
        let select = |values: &[f64]| stage.indices().map(|at| values[at]).collect::<Vec<f64>>();
        let recorded = select(&stage.recorded);
        let reference = self.reference.get(&stage.probe).map(|t| select(&stage.seen(t)));
        let width = stage.shape.last().copied().unwrap_or(1);
        StageVerdict {
            probe: stage.probe.to_string(),
            local_error,
            end_to_end_error: reference.map(|reference| relative_l2(&recorded, &reference)),
            budget,
            budget_used: fit.size() / TENSOR_LIMIT,
            class,
            recomputed: self.segments.own[&stage.probe].len(),
            metrics: Metrics::of(stage.probe.is_logits(), &recorded, &select(&stage.exact), width, level.storage),
        }
    }
}

/// Whether what `judged` finds broken was broken when it was recorded: without it, everything else that `candidate` recorded is
/// right, so that what follows was computed from other values.
fn recording_suspect(candidate: &Candidate, judged: &Judged, replayer: &dyn Replayer) -> Result<bool, JudgeError> {
    let broken = |probe: &Probe| {
        let name = probe.to_string();
        judged.verdict.stages.iter().any(|stage| stage.class == Class::Fault && stage.probe == name)
    };
    let mut others = candidate.clone();
    others.trace.retain(|probe, _| !broken(probe));
    others.fragments.retain(|probe, _| !broken(probe));
    let left = others.trace.keys().chain(others.fragments.keys()).any(|probe| *probe != Probe::TOKEN_IDS);
    let failing = judged.verdict.stages.iter().any(|stage| stage.class == Class::Wrong);
    Ok(left && failing && judge_once(&others, replayer)?.verdict.exit_code == 0)
}

/// Whether `tensor` has a row for each token.
fn is_whole(probe: Probe, tensor: &HostTensor, tokens: usize) -> bool {
    tensor.shape.get(probe.token_axis()) == Some(&tokens)
}
