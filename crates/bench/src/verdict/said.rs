//! What a verdict says, as much of it as is scored.

use loupe_judge::{FittedParameter, NamedMistake, Unseen, Verdict};
use miette::Result;

use super::sites::Place;

/// A verdict, or that there is none.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// `numeric`; why there is no verdict, where there is none.
    pub word: String,
    pub detail: Option<String>,
    pub code: u8,
    /// The first stage that is wrong by itself.
    pub first: Option<String>,
    pub named: Vec<NamedMistake>,
    pub unseen: Vec<Unseen>,
    pub fitted: Vec<FittedParameter>,
}

impl From<Verdict> for Said {
    fn from(verdict: Verdict) -> Said {
        Said {
            word: verdict.verdict.name().to_string(),
            detail: verdict.detail,
            code: verdict.exit_code,
            first: verdict.first_divergence.map(|first| first.probe),
            named: verdict.mistakes,
            unseen: verdict.unseen,
            fitted: verdict.fitted,
        }
    }
}

impl Said {
    /// What the judge's answer says; why there is none, where it gave none.
    pub fn of_answer(answer: Result<Verdict>) -> Said {
        match answer {
            Ok(verdict) => verdict.into(),
            Err(why) => Said { word: format!("not judged: {why}"), code: 2, ..Said::default() },
        }
    }

    /// Whether `id` is named, or is among those that fit as well as one that is.
    pub fn has(&self, id: &str) -> bool {
        self.named.iter().any(|named| stands_for(named, id))
    }

    /// Names of mistakes that were not planted and do not stand for one that was.
    pub fn wrong(&self, planted: &[&str]) -> Vec<String> {
        let stands = |named: &&NamedMistake| !planted.iter().any(|id| stands_for(named, id));
        self.named.iter().filter(stands).map(|named| named.id.clone()).collect()
    }

    /// Whether it says that `id` cannot be seen at `place`.
    pub fn declares(&self, id: &str, place: &Place) -> bool {
        let covers = |unseen: &Unseen| unseen.sites.as_ref().is_none_or(|sites| sites.iter().any(|s| place.is_in(s)));
        self.unseen.iter().any(|unseen| unseen.id == id && covers(unseen))
    }

    /// What is named, as a config can plant it.
    pub fn as_planted(&self) -> Vec<String> {
        let plant = |named: &NamedMistake| {
            let name = named.variant.as_ref().map_or_else(|| named.id.clone(), |v| format!("{}--{v}", named.id));
            match named.sites.as_slice() {
                [] => vec![name],
                sites => sites.iter().map(|site| format!("{name}@{site}")).collect(),
            }
        };
        self.named.iter().flat_map(plant).collect()
    }

    /// In a few words.
    pub fn line(&self) -> String {
        let part = |what: &str, all: Vec<String>| match all.as_slice() {
            [] => String::new(),
            all => format!(", {what} {}", all.join(", ")),
        };
        let names = part("named", self.named.iter().map(line).collect());
        let fitted = part("fitted", self.fitted.iter().map(fitted_line).collect());
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let first = self.first.as_ref().map(|first| format!(", first at {first}")).unwrap_or_default();
        format!("{}{detail}{first}{names}{fitted}", self.word)
    }
}

/// Whether `named` is `id`, or fits as well as it.
pub fn stands_for(named: &NamedMistake, id: &str) -> bool {
    named.id == id || named.alternatives.iter().any(|other| other == id)
}

fn line(named: &NamedMistake) -> String {
    let sites = match named.sites.len() {
        0 | 1 => String::new(),
        sites => format!(" and {} more", sites - 1),
    };
    let others = match named.alternatives.as_slice() {
        [] => String::new(),
        others => format!(" (or {})", others.join(", ")),
    };
    format!("{} at {}{sites}{others}", named.id, named.probe)
}

fn fitted_line(fitted: &FittedParameter) -> String {
    let value = fitted.value.map_or_else(|| "none".to_string(), |value| value.to_string());
    format!("{} = {value} at {}", fitted.parameter, fitted.probe)
}

#[cfg(test)]
pub mod tests {
    use loupe_judge::{Confidence, Why};
    use loupe_spec::{Formula, Probe};

    use super::*;

    fn act() -> Probe {
        Probe::named("layers.1.mlp.act").unwrap_or(Probe::TOKEN_IDS)
    }

    fn unseen(id: &str, sites: Option<Vec<String>>) -> Unseen {
        let hidden_when = String::new();
        Unseen { id: id.to_string(), why: Why::IdenticalHere, hidden_when, sites, told_by: None, no_stimulus: None }
    }

    /// A verdict that names these mistakes, each with those that fit as well, in layer 1.
    pub fn said(named: &[(&str, &[&str])], hidden: &[&str]) -> Said {
        let mistake = |(id, others): &(&str, &[&str])| NamedMistake {
            id: id.to_string(),
            variant: None,
            probe: act(),
            layers: vec![1],
            sites: vec![act()],
            confidence: Confidence::Certain,
            alternatives: others.iter().map(ToString::to_string).collect(),
            evidence: String::new(),
            sentence: String::new(),
            formula: Formula::default(),
            seen_in: String::new(),
            right: String::new(),
        };
        Said {
            word: "architectural".to_string(),
            detail: None,
            code: u8::from(!named.is_empty()),
            first: (!named.is_empty()).then(|| act().to_string()),
            named: named.iter().map(mistake).collect(),
            unseen: hidden.iter().map(|id| unseen(id, None)).collect(),
            fitted: Vec::new(),
        }
    }

    /// A number that was found to have another value.
    pub fn fitted(parameter: &'static str, value: Option<f64>) -> FittedParameter {
        let evidence = String::new();
        FittedParameter {
            parameter: parameter.into(),
            value,
            expected: 50.0,
            formula: "".into(),
            probe: act(),
            layers: vec![],
            evidence,
        }
    }

    #[test]
    fn what_a_verdict_declares_may_be_of_some_layers_only() {
        let mut said = said(&[], &["silu"]);
        said.unseen.push(unseen("rope_theta", Some(vec!["2".to_string()])));
        let rope = Probe::named("layers.2.self_attn.q_rope").map(Place::Probe);
        assert!(said.declares("silu", &Place::Everywhere) && said.declares("silu", &Place::Layer(1)));
        assert!(said.declares("rope_theta", &Place::Layer(2)));
        assert!(rope.is_some_and(|rope| said.declares("rope_theta", &rope)));
        assert!(!said.declares("rope_theta", &Place::Layer(1)) && !said.declares("rope_theta", &Place::Everywhere));
        assert!(!said.declares("gelu_erf", &Place::Everywhere));
    }

    #[test]
    fn what_is_named_can_be_planted_again() {
        let mut said = said(&[("norm_eps", &[])], &[]);
        said.named[0].variant = Some("none".to_string());
        assert_eq!(said.as_planted(), ["norm_eps--none@layers.1.mlp.act"]);
        said.named[0].sites.clear();
        assert_eq!(said.as_planted(), ["norm_eps--none"]);
    }

    #[test]
    fn a_line_says_what_was_fitted_and_that_there_may_be_no_value() {
        let said =
            Said { fitted: vec![fitted("attn_softcap", None)], word: "architectural".to_string(), ..Said::default() };
        assert_eq!(said.line(), "architectural, fitted attn_softcap = none at layers.1.mlp.act");
    }
}
