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

use loupe_compare::StatisticKind;
use serde::Deserialize;
use serde_json::Value;

use super::programs::called;
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
    max: Option<f64>,
    min: Option<f64>,
    mean: Option<f64>,
    norm: Option<f64>,
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
        let rows = self.shape.iter().rev().skip(1).fold(1_usize, |all, length| all.saturating_mul(*length));
        let all = [
            (StatisticKind::Max, self.max),
            (StatisticKind::Min, self.min),
            (StatisticKind::Mean, self.mean),
            (StatisticKind::Norm, self.norm),
        ];
        let statistics = all.into_iter().filter_map(|(kind, value)| Some((kind, Printed::of(value?)))).collect();
        Sample { name, token: -1, statistics, rows: Some(rows), ..Sample::default() }
    }
}
