//! The verdict, in the order of rising effort.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Dtype, Probe, Replayer};

use crate::Candidate;
use crate::case::Case;
use crate::choose_level::Chosen;
use crate::conclude::{Seen, conclude};
use crate::error::JudgeError;
use crate::faults::{f16_overflow, fault};
use crate::naming::Search;
use crate::noise::{Level, Noise, measure};
use crate::stage::Fit;
use crate::verdict::{CandidateInfo, Class, Judgement, SCHEMA, Unseen, Verdict};

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
