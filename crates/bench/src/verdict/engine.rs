//! Another engine: the oracle over f32, its kernels a parameter. It is what right code in other precisions is made with, and
//! shares nothing with the model that judges but names and shapes.

use std::collections::BTreeMap;

use loupe_checkpoint::{Checkpoint, CheckpointError, RowSelection};
use loupe_oracle::{Config, Matrix, Model};
use loupe_spec::{Dtype, Graph, HostTensor, Kind, Probe, Trace, Values};
use miette::{Result, miette};

use super::kernels::Kernels;
use super::recording::Recording;

/// A checkpoint in f32.
pub struct Engine {
    graph: Graph,
    weights: BTreeMap<String, Matrix<f32>>,
}

impl Engine {
    /// Reads every weight.
    pub fn open(model: &str) -> Result<Engine> {
        let open = || {
            let checkpoint = Checkpoint::open(model, None)?;
            let tensors = checkpoint.tensors()?;
            let mut weights = BTreeMap::new();
            for weight in checkpoint.graph().weights() {
                let tensor = tensors.read(weight, RowSelection::All, Dtype::F64)?;
                let columns = tensor.shape.last().copied().unwrap_or(1);
                let values: Vec<f32> = tensor.values.to_f64().into_iter().map(|x| x as f32).collect();
                weights.insert(weight.to_string(), values.chunks(columns).map(<[f32]>::to_vec).collect());
            }
            Ok(Engine { graph: checkpoint.graph().clone(), weights })
        };
        open().map_err(|error: CheckpointError| miette!("{error}"))
    }

    /// The full trace of a forward pass, computed as `kernels` says. No report: it is another engine's dump.
    pub fn run(&self, token_ids: &[usize], kernels: Kernels) -> Recording {
        let stored = |rows: &Matrix<f32>| {
            let columns = rows.first().map_or(1, Vec::len);
            let values = kernels.weights.of(&rows.concat(), columns, rows.len() > 1);
            values.chunks(columns).map(|row| row.iter().map(|x| kernels.kept(*x)).collect()).collect()
        };
        let weights = self.weights.iter().map(|(name, rows)| (name.clone(), stored(rows))).collect();
        let values = Model { config: config(&self.graph), weights }.forward(token_ids, &kernels);

        let ids = Values::I64(token_ids.iter().map(|id| *id as i64).collect());
        let mut tensors = Trace::from([(Probe::TOKEN_IDS, HostTensor { shape: vec![token_ids.len()], values: ids })]);
        for (name, rows) in values {
            let probe = Probe::named(&name).unwrap_or_else(|| unreachable!("{name} is the name of no probe"));
            let values = match probe.kind() {
                Kind::Mask => Values::U8(rows.concat().iter().map(|seen| *seen as u8).collect()),
                _ => Values::F32(rows.concat()).to_dtype(kernels.storage),
            };
            tensors.insert(probe, HostTensor { shape: self.graph.shape(probe, token_ids.len()), values });
        }
        Recording { report: None, tensors }
    }
}

/// What the oracle is told of a model.
fn config(graph: &Graph) -> Config {
    let config = graph.config();
    Config {
        hidden_size: config.hidden_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        num_key_value_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        query_pre_attn_scalar: config.query_pre_attn_scalar,
        attn_logit_softcapping: config.attn_logit_softcapping,
        final_logit_softcapping: config.final_logit_softcapping,
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: config.rope_theta,
        windows: (0..config.num_hidden_layers).map(|layer| config.window(layer)).collect(),
    }
}

/// Every value rounded to `decimals`, as a log prints it.
pub fn printed(recording: &mut Recording, decimals: i32) {
    let unit = 10f64.powi(decimals);
    for tensor in recording.tensors.values_mut() {
        if let Values::F32(values) = &mut tensor.values {
            values.iter_mut().for_each(|x| *x = ((f64::from(*x) * unit).round() / unit) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::verdict::kernels::{PLAIN, Sum, Weights};

    fn relative(a: &HostTensor, b: &HostTensor) -> f64 {
        let (a, b) = (a.values.to_f64(), b.values.to_f64());
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        norm(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied()).max(1e-30)
    }

    /// The largest relative error of any tensor against transformers' own trace.
    fn worst(kernels: Kernels, extension: &str) -> f64 {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let mut worst = 0.0f64;
        for name in ["parity", "sharded", "layer_types", "mini"] {
            let home = fixtures.join(name);
            let golden = Recording::read_dump(&home.join(format!("golden-{extension}.safetensors"))).unwrap();
            let ids: Vec<usize> =
                golden.token_ids().unwrap().values.to_f64().into_iter().map(|id| id as usize).collect();
            let run = Engine::open(home.to_str().unwrap()).unwrap().run(&ids, kernels);
            assert_eq!(run.tensors.keys().collect::<Vec<_>>(), golden.tensors.keys().collect::<Vec<_>>());
            for (probe, expected) in &golden.tensors {
                assert_eq!(run.tensors[probe].shape, expected.shape, "{probe}");
                worst = worst.max(relative(&run.tensors[probe], expected));
            }
        }
        worst
    }

    #[test]
    fn it_computes_what_transformers_does() {
        let f32 = worst(PLAIN, "f32");
        assert!(f32 < 2e-6, "{f32:e}");
        let bf16 = worst(Kernels { storage: Dtype::Bf16, ..PLAIN }, "bf16");
        assert!(bf16 < 6e-2 && bf16 > 1e-4, "{bf16:e}");
    }

    #[test]
    fn each_arithmetic_differs_as_much_as_it_should() {
        for (kernels, least, most) in [
            (Kernels { tf32: true, ..PLAIN }, 1e-4, 1e-2),
            (Kernels { sum: Sum::F16(1), storage: Dtype::F16, ..PLAIN }, 1e-4, 5e-2),
            (Kernels { weights: Weights::Rounded(Dtype::Bf16), ..PLAIN }, 1e-3, 1e-1),
            (Kernels { weights: Weights::Q8_0, ..PLAIN }, 1e-3, 2e-1),
            (Kernels { weights: Weights::Q4K, ..PLAIN }, 1e-2, 2.0),
        ] {
            let off = worst(kernels, "f32");
            assert!(off > least && off < most, "{kernels:?}: {off:e}");
        }
    }

    #[test]
    fn printed_values_have_so_many_decimals() {
        let tensor = HostTensor { shape: vec![1], values: Values::F32(vec![0.123_456_7]) };
        let norm: Probe = "norm".parse().unwrap();
        let mut recording = Recording { report: None, tensors: BTreeMap::from([(norm, tensor)]) };
        printed(&mut recording, 4);
        assert_eq!(recording.tensors[&norm].values, Values::F32(vec![0.1235]));
    }
}
