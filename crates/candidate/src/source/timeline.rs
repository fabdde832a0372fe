//! The records of DOPPLER's operator diagnostics, `operatorDiagnostics.timeline` of its reports: of each operator the shape,
//! eight values, statistics and a SHA-256 of what it computed, or at the level "full" all values.
//!
//! ```json
//! {"operatorDiagnostics": {"timeline": [{"opId": "layer.0.attn.q_proj", "phase": "prefill", "capture": {
//!   "shape": [7, 2048], "sample": [0.5, …], "sampleCoordinates": [[0, 0], …], "fullTensorDigest": "sha256:…",
//!   "stats": {"min": -1.2, "max": 3.4, "maxAbs": 3.4, "mean": 0.01, "std": 1.1}}}]}}
//! ```

use std::collections::BTreeMap;

use loupe_judge::StatisticKind;
use loupe_spec::{Dtype, HostTensor, Values};
use serde::Deserialize;

use crate::Sample;
use crate::sample::Printed;

/// Where a report has its timeline.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Report {
    result: Option<Box<Report>>,
    metrics: Option<Box<Report>>,
    operator_diagnostics: Option<Box<Report>>,
    timeline: Option<Vec<Record>>,
}

impl Report {
    fn timeline(self) -> Option<Vec<Record>> {
        let inner = [self.operator_diagnostics, self.metrics, self.result].into_iter().flatten();
        self.timeline.or_else(|| inner.into_iter().find_map(|report| report.timeline()))
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    op_id: String,
    phase: Option<String>,
    token_index: Option<usize>,
    capture: Option<Capture>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Capture {
    shape: Vec<usize>,
    sample: Option<Vec<Option<f64>>>,
    sample_coordinates: Option<Vec<Vec<usize>>>,
    full_tensor_digest: Option<String>,
    stats: Option<BTreeMap<String, Option<f64>>>,
    #[serde(rename = "hasNaN")]
    has_nan: bool,
    has_inf: bool,
    data: Option<Vec<Option<f64>>>,
}

/// What a timeline holds.
#[derive(Default)]
pub(super) struct Timeline {
    /// Tensors with all values.
    pub tensors: Vec<(String, HostTensor)>,
    /// What is known of others.
    pub samples: Vec<Sample>,
}

/// The timeline of `text`, a JSON; `None`: it has none.
pub(super) fn timeline(text: &[u8]) -> Option<Timeline> {
    let report: Report = serde_json::from_slice(text).ok()?;
    let mut timeline = Timeline::default();
    for record in report.timeline()? {
        let Record { op_id, phase, token_index, capture: Some(capture) } = record else { continue };
        // What is generated follows the prompt: no token of it has this name.
        let name = match (phase.as_deref(), token_index) {
            (Some("decode"), at) => format!("decode {}: {op_id}", at.unwrap_or(0)),
            _ => op_id,
        };
        if timeline.tensors.iter().any(|(known, _)| *known == name) {
            continue;
        }
        match capture.whole() {
            Some(tensor) => timeline.tensors.push((name, tensor)),
            None => timeline.samples.extend(capture.samples(&name)),
        }
    }
    Some(timeline)
}

impl Capture {
    fn whole(&self) -> Option<HostTensor> {
        let data = self.data.as_ref()?;
        let count = self.shape.iter().try_fold(1_usize, |all, length| all.checked_mul(*length));
        // JavaScript writes NaN as null.
        let values = Values::F64(data.iter().map(|value| value.unwrap_or(f64::NAN)).collect()).to_dtype(Dtype::F32);
        (count == Some(data.len())).then(|| HostTensor { shape: self.shape.clone(), values })
    }

    /// The values, a row at a time, and what is said of all of them.
    fn samples(self, name: &str) -> Vec<Sample> {
        let Some(rows) = rows_of(&self.shape) else { return Vec::new() };
        let empty = || Sample { name: name.to_string(), token: -1, rows: Some(rows), ..Sample::default() };
        let mut by_row: BTreeMap<usize, Sample> = BTreeMap::new();
        let coordinates = self.sample_coordinates.unwrap_or_default();
        for (value, coordinate) in self.sample.into_iter().flatten().zip(coordinates) {
            // JavaScript writes NaN as null. Before the row there may be a batch of one.
            let (value, [.., row, lane]) = (value.unwrap_or(f64::NAN), coordinate.as_slice()) else { continue };
            let sample = by_row
                .entry(*row)
                .or_insert_with(|| Sample { token: if rows == 1 { -1 } else { *row as i64 }, ..empty() });
            sample.lanes.push(*lane);
            sample.numbers.push(Printed::exactly(value));
        }
        let statistic =
            |(name, value): (String, Option<f64>)| Some((StatisticKind::named(&name)?, Printed::exactly(value?)));
        let mut statistics: Vec<_> = self.stats.into_iter().flatten().filter_map(statistic).collect();
        // The statistics are of the other values.
        if self.has_nan || self.has_inf {
            statistics = vec![(StatisticKind::MaxAbs, Printed::exactly(f64::NAN))];
        }
        let digest = self.full_tensor_digest.and_then(|digest| digest.strip_prefix("sha256:").map(str::to_string));
        let whole = Sample { statistics, digest, ..empty() };
        by_row.into_values().chain([whole]).collect()
    }
}

/// The rows of a tensor of this shape, with or without a batch of one; of a flat one nobody knows, and all are counted.
pub(super) fn rows_of(shape: &[usize]) -> Option<usize> {
    let (last, before) = shape.split_last()?;
    if before.is_empty() {
        Some(*last)
    } else {
        Some(before.iter().fold(1, |all: usize, length| all.saturating_mul(*length)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = r#"{"suite": "diagnose", "metrics": {"tokens": 3, "operatorDiagnostics": {"recordCount": 4, "timeline": [
        {"opId": "layer.0.attn.q_proj", "stageName": "attn.q_proj", "phase": "prefill", "layerIndex": 0, "capture": {
            "level": "slice", "shape": [2, 3], "dtype": "f32", "sample": [0.5, null, 1.25, 2],
            "sampleCoordinates": [[0, 0], [0, 1], [0, 2], [1, 0]], "fullTensorDigest": "sha256:ab",
            "stats": {"min": -1.5, "maxAbs": 2, "std": null, "mean": 0.25}}},
        {"opId": "final_norm.out", "phase": "prefill", "capture": {"shape": [1, 2], "data": [1.5, -2]}},
        {"opId": "logits.out", "phase": "decode", "tokenIndex": 5, "capture": {"shape": [1, 2], "sample": [7, 8],
            "sampleCoordinates": [[0, 0], [0, 1]], "stats": null}},
        {"opId": "embed.out", "capture": null}]}}}"#;

    #[test]
    fn each_record_is_a_tensor_or_what_is_known_of_one() {
        let Timeline { tensors, samples } = timeline(TEXT.as_bytes()).unwrap();
        assert_eq!(tensors.len(), 1);
        assert_eq!((tensors[0].0.as_str(), tensors[0].1.values.to_f64()), ("final_norm.out", vec![1.5, -2.0]));
        let q: Vec<&Sample> = samples.iter().filter(|sample| sample.name == "layer.0.attn.q_proj").collect();
        assert_eq!((q[0].token, &q[0].lanes, q[0].numbers[1].value.is_nan()), (0, &vec![0, 1, 2], true));
        assert_eq!((q[1].token, &q[1].lanes), (1, &vec![0]));
        let known: Vec<_> = q[2].statistics.iter().map(|(kind, number)| (kind.name(), number.value)).collect();
        assert_eq!(
            (known, q[2].digest.as_deref(), q[2].rows),
            (vec![("max_abs", 2.0), ("mean", 0.25), ("min", -1.5)], Some("ab"), Some(2))
        );
        assert!(samples.iter().any(|sample| sample.name == "decode 5: logits.out" && sample.token == -1));
        assert!(timeline(b"{\"timeline\": 3}").is_none() && timeline(b"{}").is_none() && timeline(b"[").is_none());
    }
}
