//! What `loupe` says of one report, read from its verdict.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

/// One of `loupe.verdict/1`, as much of it as is shown here.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `exact`, `numeric`, `architectural`, `backend_fault` or `inconclusive`.
    pub word: String,
    /// What kind of that: `tf32`, `rope_interleaved`, …
    pub detail: Option<String>,
    pub code: u8,
    /// The report that it is about, as the judge was given it.
    pub path: PathBuf,
    /// The first stage that is wrong by itself, in a sentence.
    pub divergence: Option<String>,
}

impl Verdict {
    /// `None`: the value is no verdict.
    pub fn of(value: &Value) -> Option<Verdict> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_string);
        Some(Verdict {
            word: text("verdict")?,
            detail: text("detail").filter(|detail| !detail.is_empty()),
            code: value.get("exit_code")?.as_u64()?.try_into().ok()?,
            path: value.get("candidate")?.get("path")?.as_str()?.into(),
            divergence: value.get("first_divergence").and_then(divergence),
        })
    }

    /// With the place where the report first goes wrong.
    pub fn in_full(&self) -> String {
        match &self.divergence {
            Some(divergence) => format!("{self}: first at {divergence}"),
            None => self.to_string(),
        }
    }

    /// Whether every bit is the reference's.
    pub fn exact(&self) -> bool {
        self.word == "exact"
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word.replace('_', " ");
        match &self.detail {
            Some(detail) => write!(f, "{word}: {detail}"),
            None => write!(f, "{word}"),
        }
    }
}

/// `layers.1.attn.q_rope, token 3: error 5.1e-1, limit 2.0e-7`, as far as it is known.
fn divergence(value: &Value) -> Option<String> {
    let mut sentence = value.get("probe")?.as_str()?.to_string();
    if let Some(token) = value.get("token").and_then(Value::as_i64) {
        sentence += &format!(", token {token}");
    }
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    if let (Some(error), Some(budget)) = (number("local_error"), number("budget")) {
        sentence += &format!(": error {error:.1e}, limit {budget:.1e}");
    }
    Some(sentence)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_says_where_it_first_goes_wrong() {
        let mut value = json!({
            "verdict": "architectural", "detail": "rope_interleaved", "exit_code": 1,
            "candidate": {"path": "out/a.json"},
            "first_divergence": {"probe": "layers.1.attn.q_rope", "token": 3, "local_error": 0.512, "budget": 2e-7},
        });
        let verdict = Verdict::of(&value).unwrap();
        assert_eq!(verdict.to_string(), "architectural: rope_interleaved");
        let sentence = "layers.1.attn.q_rope, token 3: error 5.1e-1, limit 2.0e-7";
        assert_eq!(verdict.divergence.as_deref(), Some(sentence));

        value["verdict"] = "backend_fault".into();
        value["detail"] = Value::Null;
        value["first_divergence"] = Value::Null;
        let verdict = Verdict::of(&value).unwrap();
        assert_eq!((verdict.to_string().as_str(), verdict.divergence), ("backend fault", None));
        assert_eq!(Verdict::of(&json!({"schema": "loupe.verdict/1"})), None);
    }
}
