//! What was found wrong: a mistake of the catalogue, or a number with another value.

use std::borrow::Cow;
use std::collections::BTreeSet;

use loupe_spec::{Formula, Mistake, Probe};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::number;

/// How sure a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It alone brings every stage it touches inside the budget.
    Certain,
    /// Others fit too.
    Likely,
}

/// A mistake found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NamedMistake {
    /// Its id in the catalogue.
    pub id: String,
    /// Which way of making it, where there are several.
    pub variant: Option<String>,
    /// Where it first shows.
    pub probe: Probe,
    /// The layers it was found in.
    pub layers: Vec<usize>,
    /// The probes at which it is made, so far as the recordings tell.
    pub sites: Vec<Probe>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Ids that fit as well on this input.
    pub alternatives: Vec<String>,
    /// What was measured.
    pub evidence: String,
    /// What the wrong code does, in one sentence.
    pub sentence: String,
    /// Right and wrong code.
    pub formula: Formula<String>,
    /// Where it was seen.
    pub seen_in: String,
    /// The line of the right code: `file:line: text`.
    pub right: String,
}

impl NamedMistake {
    /// `mistake`, made at `sites`, showing first at `probe`.
    pub(crate) fn of(
        mistake: &Mistake,
        probe: Probe,
        sites: &BTreeSet<Probe>,
        alternatives: Vec<String>,
        evidence: String,
    ) -> NamedMistake {
        NamedMistake {
            id: mistake.id.to_string(),
            variant: mistake.variant.map(str::to_string),
            probe,
            layers: layers(sites),
            sites: sites.iter().copied().collect(),
            confidence: if alternatives.is_empty() { Confidence::Certain } else { Confidence::Likely },
            alternatives,
            evidence,
            sentence: mistake.what.to_string(),
            formula: mistake.formula.owned(),
            seen_in: mistake.seen_in.to_string(),
            right: mistake.right.to_string(),
        }
    }

    /// It is made at `sites` too, and shows at `probe`.
    pub(crate) fn also_at(&mut self, probe: Probe, sites: &BTreeSet<Probe>) {
        let all: BTreeSet<Probe> = self.sites.iter().chain(sites).copied().collect();
        self.layers = layers(&all);
        self.sites = all.into_iter().collect();
        self.probe = self.probe.min(probe);
    }
}

/// The layers of `probes`, each once.
pub(crate) fn layers(probes: &BTreeSet<Probe>) -> Vec<usize> {
    let layers: BTreeSet<usize> = probes.iter().filter_map(|probe| probe.layer()).collect();
    layers.into_iter().collect()
}

/// A number of the model with another value than config.json gives it, where no mistake of the catalogue says so.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FittedParameter {
    /// Its name in [`loupe_spec::Parameter`].
    pub parameter: Cow<'static, str>,
    /// The value that explains the candidate; `None`: no cap at all.
    pub value: Option<f64>,
    /// The right value.
    #[serde(deserialize_with = "number")]
    pub expected: f64,
    /// Where it stands.
    pub formula: Cow<'static, str>,
    /// Where it first shows.
    pub probe: Probe,
    /// The layers in which it has this value.
    pub layers: Vec<usize>,
    /// What was measured.
    pub evidence: String,
}

impl FittedParameter {
    /// The candidate's value, `none` for no cap, and the right one.
    pub(crate) fn values(&self) -> (String, String) {
        let value = self.value.map_or("none".to_string(), |value| Rounded(value).to_string());
        (value, Rounded(self.expected).to_string())
    }

    /// `attn_scale = 0.25 (right: 0.125)`
    pub fn line(&self) -> String {
        let (value, expected) = self.values();
        format!("{} = {value} (right: {expected})", self.parameter)
    }
}

/// Six significant digits: what a fit of f32 values knows.
struct Rounded(f64);

impl std::fmt::Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Through the shortest form of the rounded value: 0.125, not 1.25000e-1.
        let rounded: f64 = format!("{:.5e}", self.0).parse().unwrap_or(self.0);
        write!(f, "{rounded:?}")
    }
}
