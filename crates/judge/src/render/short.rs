//! A verdict in a few words, for a table of many.

use crate::verdict::{Divergence, Verdict};

/// `architectural: rope_interleaved`
pub fn short(verdict: &Verdict) -> String {
    let word = verdict.verdict.name().replace('_', " ");
    match verdict.detail.as_deref().filter(|detail| !detail.is_empty()) {
        Some(detail) => format!("{word}: {detail}"),
        None => word,
    }
}

/// The first stage that is wrong by itself: `layers.1.self_attn.q_rope, token 3: error 5.1e-1, limit 2.0e-7`
pub fn first(verdict: &Verdict) -> Option<String> {
    let Divergence { probe, token, local_error, budget, .. } = verdict.first_divergence.as_ref()?;
    let token = token.map(|token| format!(", token {token}")).unwrap_or_default();
    Some(format!("{probe}{token}: error {local_error:.1e}, limit {budget:.1e}"))
}

/// Both: `architectural: rope_interleaved: first at …`
pub fn with_first(verdict: &Verdict) -> String {
    match first(verdict) {
        Some(first) => format!("{}: first at {first}", short(verdict)),
        None => short(verdict),
    }
}
