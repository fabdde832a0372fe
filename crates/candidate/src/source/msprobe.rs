//! msProbe's dump.json: of each module's inputs and outputs the shape, extremes, mean and norm. Where its task was "tensor",
//! the values lie in a folder beside it.
//!
//! ```json
//! {"task": "statistics", "level": "L0", "dump_data_dir": null, "data": {
//!   "Module.model.layers.0.mlp.Gemma2MLP.forward.0": {
//!     "input_args": [{"shape": [1, 5, 12], "Max": 3.06, "Min": -3.33, "Mean": 0.09, "Norm": 9.05}],
//!     "output": [{"shape": [1, 5, 12], "Max": 4.31, "Min": -4.44, "Mean": 0.16, "Norm": 15.05}]}}}
//! ```

use std::collections::BTreeMap;

use loupe_judge::StatisticKind;
use serde::Deserialize;
use serde_json::Value;

use super::programs::called;
use super::timeline::rows_of;
use crate::sample::{Printed, Sample};

#[derive(Deserialize)]
struct Document {
    task: String,
    data: BTreeMap<String, Module>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Module {
    // Among tensors are lists of them, numbers and nulls.
    input_args: Vec<Value>,
    output: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tensor {
    #[serde(rename = "shape")]
    shape: Vec<usize>,
    max: Value,
    min: Value,
    mean: Value,
    norm: Value,
}

/// A number; Python's NaN and Infinity came in quotes.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The folder beside a dump.json in which values are.
pub(super) const VALUES: &str = "dump_tensor_data";

/// What `text`, a dump.json, says of tensors; `None`: it is none.
pub(super) fn samples(text: &[u8]) -> Option<Vec<Sample>> {
    let document: Document = serde_json::from_slice(text).ok()?;
    let known = matches!(document.task.as_str(), "statistics" | "tensor") && !document.data.is_empty();
    let of_module = |(key, module): (String, Module)| {
        let list = |kind: &'static str, values: Vec<Value>| {
            let key = key.clone();
            values.into_iter().enumerate().filter_map(move |(at, value)| {
                let tensor = Tensor::deserialize(value).ok().filter(|tensor| !tensor.shape.is_empty())?;
                Some(tensor.sample(called(&format!("{key}.{kind}.{at}"))?))
            })
        };
        list("input", module.input_args).chain(list("output", module.output)).collect::<Vec<_>>()
    };
    known.then(|| document.data.into_iter().flat_map(of_module).collect())
}

impl Tensor {
    fn sample(self, name: String) -> Sample {
        let all = [
            (StatisticKind::Max, number(&self.max)),
            (StatisticKind::Min, number(&self.min)),
            (StatisticKind::Mean, number(&self.mean)),
            (StatisticKind::Norm, number(&self.norm)),
        ];
        let finite = |value: f64| value.is_finite();
        // The norm of f16 values is kept in f16, and may be more than that holds though none of them is.
        let are_finite = all[..2].iter().all(|(_, value)| value.is_none_or(finite));
        let counts = |kind: StatisticKind, value: f64| value.is_finite() || kind.is_value() || !are_finite;
        let statistic = |(kind, value): (StatisticKind, Option<f64>)| {
            value.filter(|value| counts(kind, *value)).map(|value| (kind, Printed::exactly(value)))
        };
        let statistics = all.into_iter().filter_map(statistic).collect();
        let rows = rows_of(&self.shape);
        Sample { name, token: -1, statistics, rows, ..Sample::default() }
    }
}
