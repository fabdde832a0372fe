//! What `<prefix>.json` holds, key by key.

use std::collections::BTreeMap;

use loupe_spec::{Dtype, HostTensor};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TensorSummary;
use crate::ordered;

/// The format and its version. A key may be added under the same version; none changes its meaning.
pub const SCHEMA: &str = "loupe.report/1";

/// What ran, where, and what came out, in one line a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The format and its version: `loupe.report/1`.
    pub schema: String,
    /// The program that ran.
    pub loupe: Loupe,
    /// The config as run.
    pub config: serde_json::Value,
    /// The checkpoint.
    pub model: Model,
    /// The ids that went in, `<bos>` included; empty for a check that reads no prompt.
    pub token_ids: Vec<usize>,
    /// Where it ran.
    pub backend: Backend,
    /// What the forward pass computed in.
    pub dtype: Dtype,
    /// "strict" or "tf32".
    pub precision: String,
    /// Name and statistics of every tensor, in computing order.
    #[serde(with = "ordered")]
    #[schemars(with = "BTreeMap<String, TensorSummary>")]
    pub tensors: Vec<(String, TensorSummary)>,
    /// What took how many seconds, in the order in which it happened.
    #[serde(with = "ordered")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub timings_s: Vec<(String, f64)>,
    /// What the check itself found wrong, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

impl Report {
    /// The summaries that go under `tensors`.
    pub fn summaries(tensors: &[(String, HostTensor)]) -> Vec<(String, TensorSummary)> {
        tensors.par_iter().map(|(name, tensor)| (name.clone(), TensorSummary::of(tensor))).collect()
    }

    /// The summary of one tensor.
    pub fn tensor(&self, name: &str) -> Option<&TensorSummary> {
        self.tensors.iter().find(|(known, _)| known == name).map(|(_, summary)| summary)
    }
}

/// The program that made a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loupe {
    /// Loupe's own version.
    pub version: String,
    /// The version of burn in it.
    pub burn: String,
}

/// The checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// As the config names it.
    pub id: String,
    /// The commit, for a checkpoint of the hub.
    pub revision: Option<String>,
    /// SHA-256 of config.json, the index and the safetensors headers.
    pub checkpoint_id: Option<String>,
}

/// Where a run took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// As the config names it.
    pub name: String,
    /// The device or adapter, by its own name.
    pub device: String,
    /// The driver, for a device that has one.
    pub driver: Option<String>,
    /// What compiled the kernels, where kernels were compiled.
    pub compiler: Option<String>,
}
