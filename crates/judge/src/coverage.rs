//! What was looked at, and what was not.

use loupe_spec::Probe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was looked at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Tokens judged.
    pub tokens: usize,
    /// Tokens of the prompt.
    pub of_tokens: usize,
    /// The last of those judged, counted from 0.
    pub last_token: Option<usize>,
    /// Layers of which at least one stage was recorded.
    pub layers: Vec<usize>,
    /// Layers of the model.
    pub of_layers: usize,
    /// Recorded stages judged, of all that the model has.
    pub probes: usize,
    /// All that the model has.
    pub of: usize,
    /// Values compared.
    pub values: usize,
    /// All that those stages have.
    pub of_values: usize,
    /// Means, extremes and the like, compared beside them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub statistics: usize,
    /// Tensors of the candidate that have no probe's name.
    pub ignored: Vec<String>,
    /// How many of them have names that no program is known to use.
    pub unknown: usize,
    /// Tensors that are packed in a way that cannot be read, a sentence each with what would make them comparable.
    pub not_comparable: Vec<String>,
    /// The stages that were not recorded, in computing order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_recorded: Vec<NotRecorded>,
}

/// A stage that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotRecorded {
    /// Its name, of one in a layer without the number: `layers.{l}.mlp.act`
    pub stage: String,
    /// The layers in which it was not recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
}

impl NotRecorded {
    /// Each by its own name.
    pub fn names(&self) -> Vec<String> {
        match self.layers.as_slice() {
            [] => vec![self.stage.clone()],
            layers => layers.iter().map(|layer| self.stage.replace("{l}", &layer.to_string())).collect(),
        }
    }

    /// `probes`, which ascend, by stage.
    pub(crate) fn of(probes: impl Iterator<Item = Probe>) -> Vec<NotRecorded> {
        let mut all: Vec<NotRecorded> = Vec::new();
        for probe in probes {
            let stage = probe.pattern();
            match all.iter_mut().find(|one| one.stage == stage) {
                Some(one) => one.layers.extend(probe.layer()),
                None => all.push(NotRecorded { stage, layers: probe.layer().into_iter().collect() }),
            }
        }
        all
    }
}

/// For serde, of a count that few verdicts have.
fn is_zero(count: &usize) -> bool {
    *count == 0
}
