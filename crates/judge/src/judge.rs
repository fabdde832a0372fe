//! The verdict on one candidate: its precision, the stages that fail, what is broken, what explains the rest.

use std::collections::{BTreeMap, BTreeSet};

use loupe_spec::{Dtype, Precision, Probe, Replayer};

use crate::Candidate;
use crate::case::Case;
use crate::choose_precision::Chosen;
use crate::conclude::{Seen, conclude};
use crate::error::JudgeError;
use crate::faults::{f16_overflow, fault};
use crate::naming::Search;
use crate::noise::Noise;
use crate::picture::Detail;
use crate::stage::Fit;
use crate::verdict::{CandidateInfo, Class, Judgement, SCHEMA, StageVerdict, Unseen, Verdict};

/// A verdict, and what it was judged by.
#[derive(Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The precision that the candidate was judged by.
    pub precision: Precision,
    /// The failing stages that nothing explains; empty if the answer is about shapes or broken values.
    pub unnamed: Vec<Probe>,
}

/// Judges one candidate against the model behind `replayer`.
///
/// # Errors
/// A stage that cannot be recomputed, or a candidate with nothing to compare.
pub fn judge(candidate: &Candidate, replayer: &dyn Replayer, detail: Detail) -> Result<Judged, JudgeError> {
    let mut judged = judge_once(candidate, replayer, detail)?;
    if judged.verdict.verdict == Judgement::BackendFault {
        judged.verdict.recording_suspect = recording_suspect(candidate, &judged, replayer)?;
    }
    Ok(judged)
}

fn judge_once(candidate: &Candidate, replayer: &dyn Replayer, detail: Detail) -> Result<Judged, JudgeError> {
    let mut case = Case::open(candidate, replayer, detail)?;
    let Chosen { noise, strictest, lesser } = case.choose_precision()?;
    // A low precision that was chosen only because everything fits in it must not hide a mistake that has a name or a value.
    if let Some(strictest) = strictest {
        let judged = case.judge_at(&strictest)?;
        let explained = !judged.verdict.mistakes.is_empty() || !judged.verdict.fitted.is_empty();
        if explained && judged.unnamed.is_empty() {
            return Ok(judged);
        }
        // Weights rounded to 16 bits predict other values, which nobody hits by chance: then the precision is certain. So it is of a
        // report, which says how it was made.
        case.by_fallback = candidate.backend.is_none() && noise.precision.weights.half().is_none();
    }
    let judged = case.judge_at(&noise)?;
    if judged.unnamed.is_empty() {
        return Ok(judged);
    }
    // Values that fit no smaller dtype are taken for f64. The engine may still compute some of them in f32, as transformers does its norms.
    if noise.precision == Precision::plain(Dtype::F64) && candidate.declared.is_none() {
        let noise = case.noise(Precision::plain(Dtype::F32))?;
        let in_f32 = case.judge_at(&noise)?;
        if in_f32.unnamed.len() < judged.unnamed.len() {
            return Ok(in_f32);
        }
    }
    // The projections are raised, and no mistake explains it: try the lower precisions.
    for precision in lesser {
        let noise = case.noise(precision)?;
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
        if candidate.aligned.misshapen.is_empty() && stages.iter().all(|stage| stage.indices().next().is_none()) {
            let stages = case.recorded.iter().map(ToString::to_string).collect();
            return Err(JudgeError::Nothing { path: candidate.path.clone(), stages });
        }
        let fits: BTreeMap<Probe, Fit> = stages.iter().map(|stage| (stage.probe, stage.fit(&stage.exact))).collect();
        let storage = noise.precision.storage;
        let failing: BTreeSet<Probe> = fits.iter().filter(|(_, fit)| !fit.passes()).map(|(probe, _)| *probe).collect();
        let failed = || stages.iter().filter(|stage| failing.contains(&stage.probe));
        let overflows: BTreeMap<Probe, String> =
            failed().filter_map(|stage| f16_overflow(stage, storage).map(|what| (stage.probe, what))).collect();
        let faults: BTreeMap<Probe, String> = failed()
            .filter(|stage| !overflows.contains_key(&stage.probe))
            .filter_map(|stage| fault(stage).map(|what| (stage.probe, what)))
            .collect();

        let search = Search {
            replayer,
            given: case.given(),
            segments: &case.segments,
            stages: &stages,
            precision: noise.precision,
            detail: case.detail,
        };
        let told = |probe: &Probe| faults.contains_key(probe) || overflows.contains_key(probe);
        let unexplained: BTreeSet<Probe> = failing.iter().copied().filter(|probe| !told(probe)).collect();
        // Noise of a precision that was chosen only because everything fits shows nothing below the limits.
        let sound = faults.is_empty() && overflows.is_empty() && !case.by_fallback;
        let findings = search.run(&unexplained, sound)?;

        let mut notes = case.notes.clone();
        notes.extend(faults.values().chain(overflows.values()).cloned());
        let seen = Seen {
            misshapen: !candidate.aligned.misshapen.is_empty(),
            by_fallback: case.by_fallback,
            faults: !faults.is_empty(),
            overflows: !overflows.is_empty(),
            all_exact: stages.iter().all(|stage| stage.is_exact(storage)),
        };
        let (verdict, detail) = conclude(noise.precision, seen, &findings, &mut notes);
        let mut stage_verdicts: Vec<StageVerdict> = stages
            .iter()
            .map(|stage| case.stage_verdict(stage, fits[&stage.probe], &faults, noise.precision))
            .collect();
        for (probe, regression) in findings.regressions {
            let stage = stage_verdicts.iter_mut().find(|stage| stage.probe == probe.to_string());
            if let Some(picture) = stage.and_then(|stage| stage.picture.as_mut()) {
                picture.regressions.push(regression);
            }
        }
        let first = stages.iter().find(|stage| failing.contains(&stage.probe));
        // Wrong shapes and broken values need no name.
        let of_names = verdict == Judgement::Architectural && candidate.aligned.misshapen.is_empty();
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
                dtype: noise.precision.storage,
                dtype_inferred: candidate.declared.is_none(),
                decimals: noise.precision.decimals,
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
            structure: candidate.aligned.misshapen.clone(),
            notes,
            tolerated: Vec::new(),
            stages: stage_verdicts,
        };
        Ok(Judged { verdict, precision: noise.precision, unnamed })
    }
}

/// The ids of mistakes that can be seen nowhere, each once.
fn nowhere(unseen: &[Unseen]) -> Vec<String> {
    let ids: BTreeSet<&str> =
        unseen.iter().filter(|unseen| unseen.sites.is_none()).map(|unseen| unseen.id.as_str()).collect();
    ids.into_iter().map(str::to_string).collect()
}

/// Whether the recording, and not the computation, is broken: without the broken values everything else is right, so the engine
/// itself computed with other values than it recorded.
fn recording_suspect(candidate: &Candidate, judged: &Judged, replayer: &dyn Replayer) -> Result<bool, JudgeError> {
    let broken = |probe: &Probe| {
        let name = probe.to_string();
        judged.verdict.stages.iter().any(|stage| stage.class == Class::Fault && stage.probe == name)
    };
    let mut others = candidate.clone();
    others.aligned.trace.retain(|probe, _| !broken(probe));
    others.aligned.fragments.retain(|probe, _| !broken(probe));
    let left =
        others.aligned.trace.keys().chain(others.aligned.fragments.keys()).any(|probe| *probe != Probe::TOKEN_IDS);
    let failing = judged.verdict.stages.iter().any(|stage| stage.class == Class::Wrong);
    Ok(left && failing && judge_once(&others, replayer, Detail::Numbers)?.verdict.exit_code == 0)
}
