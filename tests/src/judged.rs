//! Verdicts on what a dump may hold of a run.

use loupe_judge::{Aligned, Candidate, Detail, JudgeError, Rows, Verdict, judge};
use loupe_runtime::Referee;
use loupe_spec::{Dtype, Probe};

use crate::{Case, Trace};

/// What a dump may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    /// Every probe.
    Everything,
    /// Layer outputs, what comes before the first and after the last.
    Layers,
    /// Logits alone.
    Logits,
}

impl Kept {
    /// Each, the most first.
    pub const ALL: [Kept; 3] = [Kept::Everything, Kept::Layers, Kept::Logits];

    /// Whether a dump of this kind holds `probe`.
    pub fn keeps(self, probe: Probe) -> bool {
        match self {
            Kept::Everything => true,
            Kept::Layers => matches!(probe.path(), "token_ids" | "embed.scaled" | "output" | "norm" | "logits"),
            Kept::Logits => matches!(probe.path(), "token_ids" | "logits"),
        }
    }
}

/// The verdict on what `kept` keeps of `trace`.
pub fn verdict(case: &Case, trace: &Trace, kept: Kept, declared: Option<Dtype>) -> Verdict {
    let trace: Trace = trace.iter().filter(|(p, _)| kept.keeps(**p)).map(|(p, t)| (*p, t.clone())).collect();
    verdict_of_rows(case, trace, Rows::All, declared)
}

/// The verdict on a dump of `rows` alone.
pub fn verdict_of_rows(case: &Case, trace: Trace, rows: Rows, declared: Option<Dtype>) -> Verdict {
    verdict_without(&[], case, trace, rows, declared)
}

/// The verdict of a judge that does not know the mistakes `without`.
pub fn verdict_without(without: &[String], case: &Case, trace: Trace, rows: Rows, declared: Option<Dtype>) -> Verdict {
    let judged = judged(without, case, &candidate(case, trace, rows, declared));
    judged.unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// A dump; one whose dtype is `declared` was made strictly.
pub fn candidate(case: &Case, trace: Trace, rows: Rows, declared: Option<Dtype>) -> Candidate {
    Candidate {
        path: case.name.to_string(),
        backend: None,
        check: None,
        declared,
        arithmetic: None,
        strict: declared.is_some(),
        aligned: Aligned { trace, rows, ..Aligned::default() },
    }
}

/// The verdict on `candidate`, or why there is none.
pub fn judged(without: &[String], case: &Case, candidate: &Candidate) -> Result<Verdict, JudgeError> {
    let tokens = candidate.aligned.trace[&Probe::TOKEN_IDS].values.len();
    let referee = Referee { without, ..Referee::new(case.graph(), &case.tensors, tokens) };
    judge(candidate, &referee, Detail::Numbers).map(|judged| judged.verdict)
}

/// Largest share of its budget that any stage used.
pub fn budget_used(verdict: &Verdict) -> f64 {
    verdict.stages.iter().map(|stage| stage.budget_used).fold(0.0, f64::max)
}

/// The mistakes that it names.
pub fn ids(verdict: &Verdict) -> Vec<&str> {
    verdict.mistakes.iter().map(|mistake| mistake.id.as_str()).collect()
}
