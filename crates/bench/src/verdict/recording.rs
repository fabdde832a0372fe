//! What a trace recorded, and files made of it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use loupe_report::{Report, Written};
use loupe_spec::{HostTensor, Probe, Trace};
use miette::{Result, miette};

/// How much of a run a candidate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    Full,
    Layers,
    Logits,
}

impl Extent {
    pub const ALL: [Extent; 3] = [Extent::Full, Extent::Layers, Extent::Logits];

    pub fn name(self) -> &'static str {
        match self {
            Extent::Full => "full",
            Extent::Layers => "layers",
            Extent::Logits => "logits",
        }
    }

    /// Whether a candidate of this extent holds `probe`.
    pub fn holds(self, probe: Probe) -> bool {
        match self {
            Extent::Full => true,
            Extent::Layers => {
                matches!(probe.path(), "token_ids" | "embed.scaled" | "output" | "norm" | "logits")
            }
            Extent::Logits => matches!(probe.path(), "token_ids" | "logits"),
        }
    }
}

/// The tensors of one run.
#[derive(Clone, Debug)]
pub struct Recording {
    /// `None`: a dump of another engine.
    pub report: Option<Report>,
    pub tensors: Trace,
}

impl Recording {
    /// Of the report with this prefix.
    pub fn read(prefix: &Path) -> Result<Recording> {
        let (report, file) = loupe_report::read(&Written::of(prefix).json).map_err(|error| miette!("{error}"))?;
        Ok(Recording { report: Some(report), tensors: tensors(&file)? })
    }

    /// Of a safetensors file alone.
    pub fn read_dump(path: &Path) -> Result<Recording> {
        let file = loupe_report::read_safetensors(path).map_err(|error| miette!("{error}"))?;
        Ok(Recording { report: None, tensors: tensors(&file)? })
    }

    /// The part that `keep` keeps.
    pub fn cut(&self, keep: impl Fn(Probe) -> bool) -> Recording {
        let kept = self.tensors.iter().filter(|(probe, _)| keep(**probe));
        Recording { report: self.report.clone(), tensors: kept.map(|(p, t)| (*p, t.clone())).collect() }
    }

    /// Writes it as a report (as a dump, where it has none) and gives the path for a compare config.
    pub fn write(&self, prefix: &Path) -> Result<PathBuf> {
        let named: Vec<(String, HostTensor)> = self.tensors.iter().map(|(p, t)| (p.to_string(), t.clone())).collect();
        let Some(report) = &self.report else { return write_dump(&named, prefix) };
        let report = Report { tensors: Report::summaries(&named), ..report.clone() };
        let written = loupe_report::write(prefix, &report, &named).map_err(|error| miette!("{error}"))?;
        Ok(written.json)
    }

    /// Equal for two runs that are the same in every bit of what a candidate of this extent holds.
    pub fn digest(&self, extent: Extent) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (probe, tensor) in self.tensors.iter().filter(|(probe, _)| extent.holds(**probe)) {
            (probe.path(), probe.layer(), &tensor.shape, tensor.values.to_le_bytes()).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The prompt.
    pub fn token_ids(&self) -> Option<&HostTensor> {
        self.tensors.get(&Probe::TOKEN_IDS)
    }
}

fn tensors(file: &loupe_report::TensorFile) -> Result<Trace> {
    let mut tensors = BTreeMap::new();
    for name in file.names() {
        let probe: Probe = name.parse().map_err(|error| miette!("{error}"))?;
        tensors.insert(probe, file.get(&name).map_err(|error| miette!("{error}"))?);
    }
    Ok(tensors)
}

/// Writes a safetensors file without a report, its tensors in the order given.
pub fn write_dump(tensors: &[(String, HostTensor)], prefix: &Path) -> Result<PathBuf> {
    let path = Written::of(prefix).safetensors;
    let mut at = 0;
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let bytes = tensor.values.to_le_bytes();
        let dtype = tensor.values.dtype().name().to_uppercase();
        let place = serde_json::json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [at, at + bytes.len()]});
        header.insert(name.clone(), place);
        at += bytes.len();
        data.extend(bytes);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    std::fs::write(&path, bytes).map_err(loupe_matrix::io_error("write", &path))?;
    Ok(path)
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use loupe_spec::Values;

    /// A run of one value each.
    pub fn run(norm: f64, logits: f64) -> Recording {
        let of = |value: f64| HostTensor { shape: vec![1], values: Values::F64(vec![value]) };
        Recording {
            report: None,
            tensors: BTreeMap::from([("norm".parse().unwrap(), of(norm)), ("logits".parse().unwrap(), of(logits))]),
        }
    }

    #[test]
    fn a_dump_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = HostTensor { shape: vec![1, 3], values: Values::Bf16(vec![Default::default(); 3]) };
        let ids = HostTensor { shape: vec![1], values: Values::I64(vec![7]) };
        let tensors = BTreeMap::from([("norm".parse().unwrap(), tensor), (Probe::TOKEN_IDS, ids)]);
        let path = Recording { report: None, tensors: tensors.clone() }.write(&folder.path().join("a")).unwrap();
        assert_eq!(Recording::read_dump(&path).unwrap().tensors, tensors);
    }
}
