//! The answer in one word, from everything that was found.

use loupe_spec::{MistakeKind, Precision};

use crate::finding::FittedParameter;
use crate::naming::Findings;
use crate::verdict::Judgement;

/// What the stages show before any name is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Tensors have other shapes than the model's.
    pub misshapen: bool,
    /// Values are broken.
    pub faults: bool,
    /// Values are beyond what f16 holds.
    pub overflows: bool,
    /// Every bit is the reference's.
    pub all_exact: bool,
    /// The precision was chosen because everything fits in it, with no projection to tell it by.
    pub by_fallback: bool,
}

/// The answer, and its detail. What it rests on is added to `notes`.
pub fn conclude(
    precision: Precision,
    seen: Seen,
    findings: &Findings,
    notes: &mut Vec<String>,
) -> (Judgement, Option<String>) {
    if seen.misshapen {
        return (Judgement::Architectural, Some("shape".to_string()));
    }
    if seen.faults || findings.has(MistakeKind::BackendFault) {
        return (Judgement::BackendFault, Some("values".to_string()));
    }
    if findings.has(MistakeKind::Architectural) || !findings.fitted.is_empty() || !findings.unnamed.is_empty() {
        let mut parts: Vec<String> = findings.named.iter().map(|m| m.id.clone()).collect();
        parts.extend(findings.fitted.iter().map(FittedParameter::line));
        if let Some(first) = findings.unnamed.first() {
            parts.push(format!("unnamed at {first}"));
        }
        return (Judgement::Architectural, Some(parts.join(" + ")));
    }
    if seen.overflows {
        return (Judgement::Architectural, Some("f16_overflow".to_string()));
    }
    if findings.has(MistakeKind::DtypePolicy) {
        let ids: Vec<&str> = findings.named.iter().map(|m| m.id.as_str()).collect();
        return (Judgement::Numeric, Some(format!("dtype_policy:{}", ids.join("+"))));
    }
    if seen.all_exact {
        return (Judgement::Exact, None);
    }
    if seen.by_fallback {
        notes.push(format!(
            "the recorded stages fit {} precision, but no projection was recorded with its own input to tell that from a \
             small mistake",
            precision.detail().unwrap_or(precision.storage.name().to_string())
        ));
        return (Judgement::Inconclusive, precision.detail());
    }
    (Judgement::Numeric, precision.detail())
}

impl Findings {
    /// Whether a named mistake is of `kind`.
    fn has(&self, kind: MistakeKind) -> bool {
        self.kinds.contains(&kind)
    }
}
