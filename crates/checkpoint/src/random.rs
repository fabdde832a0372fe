//! A checkpoint of any shape with made-up weights: how 2B's 5 GB are tried without downloading them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use loupe_spec::{Config, Graph, Weight};
use serde_json::json;

use crate::CheckpointError;
use crate::names::{CONFIG, INDEX};
use crate::prng::{fill_bf16, stream};
use crate::writer::{header, prepare_folder, write_file};

/// Elements made at a time: 8 MiB, whatever the checkpoint's size. A multiple of the generator's block.
const CHUNK: usize = 1 << 22;

/// Writes a checkpoint with the shapes of `config_json` and random bf16 weights to `folder`: config.json and `shards`
/// files of about equal size with an index, or one `model.safetensors`. No tokenizer. The same `seed` gives the same
/// bytes everywhere. `progress` is told bytes written and bytes in all.
///
/// # Errors
/// A config.json that is not a Gemma 2's, no shards or more than there are tensors, a folder that already holds a
/// checkpoint, or a disk that is full.
pub fn write_random(
    config_json: &str,
    folder: &Path,
    shards: usize,
    seed: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), CheckpointError> {
    let config = Config::from_json(config_json)
        .map_err(|source| CheckpointError::Config { path: folder.join(CONFIG), source })?;
    let graph = Graph::of(&config);
    let weights: Vec<Weight> = graph.weights().collect();
    if shards == 0 || shards > weights.len() {
        let reason = format!("{shards} files asked for, but it takes 1 to {}, one a tensor", weights.len());
        return Err(CheckpointError::Write { folder: folder.into(), reason });
    }
    prepare_folder(folder)?;
    let files = divide(&weights, &graph, shards);
    let total: u64 = weights.iter().map(|weight| bytes(*weight, &graph)).sum();
    let mut written = 0;
    let mut weight_map = BTreeMap::new();
    for (at, weights) in files.iter().enumerate() {
        let name = match files.len() {
            1 => "model.safetensors".into(),
            count => format!("model-{:05}-of-{count:05}.safetensors", at + 1),
        };
        write_file(folder, &name, |out| {
            write_shard(out, weights, &graph, seed, &mut |more| {
                written += more;
                progress(written, total);
            })
        })?;
        weight_map.extend(weights.iter().map(|weight| (weight.to_string(), name.clone())));
    }
    if files.len() > 1 {
        let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
        write_file(folder, INDEX, |out| serde_json::to_writer_pretty(out, &index).map_err(io::Error::from))?;
    }
    // Last, so that a folder with a config.json is whole.
    write_file(folder, CONFIG, |out| out.write_all(config_json.as_bytes()))
}

fn write_shard(
    out: &mut dyn Write,
    weights: &[Weight],
    graph: &Graph,
    seed: u64,
    wrote: &mut dyn FnMut(u64),
) -> io::Result<()> {
    out.write_all(&bf16_header(weights, graph)?)?;
    let mut buffer = vec![0; CHUNK * 2];
    for weight in weights {
        let seed = seed_of(*weight, seed);
        let elements = graph.weight_shape(*weight).iter().product();
        for first in (0..elements).step_by(CHUNK) {
            let part = buffer.get_mut(..(elements - first).min(CHUNK) * 2).unwrap_or_default();
            fill_bf16(part, std(*weight), seed, first);
            out.write_all(part)?;
            wrote(part.len() as u64);
        }
    }
    Ok(())
}

/// [`header`] for weights that are all bf16.
pub(crate) fn bf16_header(weights: &[Weight], graph: &Graph) -> io::Result<Vec<u8>> {
    let entry = |weight: &Weight| (weight.to_string(), safetensors::Dtype::BF16, graph.weight_shape(*weight));
    header(&weights.iter().map(entry).collect::<Vec<_>>())
}

/// A seed for each tensor, which adding or leaving out another tensor does not change.
pub(crate) fn seed_of(weight: Weight, seed: u64) -> u64 {
    weight.to_string().bytes().fold(seed, |seed, byte| stream(seed, u64::from(byte)))
}

/// About what trained checkpoints have.
fn std(weight: Weight) -> f32 {
    match weight {
        Weight::EMBED_TOKENS | Weight::LM_HEAD => 0.05,
        _ if weight.is_norm() => 0.1,
        _ => 0.02,
    }
}

fn bytes(weight: Weight, graph: &Graph) -> u64 {
    graph.weight_shape(weight).iter().product::<usize>() as u64 * 2
}

/// The weights in order, cut into at most `shards` runs of about equal size, none empty.
fn divide(weights: &[Weight], graph: &Graph, shards: usize) -> Vec<Vec<Weight>> {
    let total: u64 = weights.iter().map(|weight| bytes(*weight, graph)).sum();
    let mut before = 0;
    let mut files: BTreeMap<u64, Vec<Weight>> = BTreeMap::new();
    for weight in weights {
        files.entry(before / total.div_ceil(shards as u64)).or_default().push(*weight);
        before += bytes(*weight, graph);
    }
    files.into_values().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::SMALL;
    use crate::{Checkpoint, RowSelection};
    use loupe_spec::Dtype;

    #[test]
    fn shards_open_and_hold_what_one_file_holds() {
        let scratch = tempfile::tempdir().unwrap();
        let [one, three] = ["one", "three"].map(|name| scratch.path().join(name));
        let mut seen = Vec::new();
        write_random(SMALL, &one, 1, 5, &mut |_, _| ()).unwrap();
        write_random(SMALL, &three, 3, 5, &mut |done, total| seen.push((done, total))).unwrap();
        assert!(three.join("model-00003-of-00003.safetensors").is_file());
        let (done, total) = seen.last().unwrap();
        assert_eq!(done, total);
        let tensors =
            [one, three].map(|folder| Checkpoint::open(folder.to_str().unwrap(), None).unwrap().tensors().unwrap());
        let config = Config::from_json(SMALL).unwrap();
        for weight in Graph::of(&config).weights() {
            let [a, b] = tensors.each_ref().map(|t| t.read(weight, RowSelection::All, Dtype::Bf16).unwrap());
            assert_eq!(a, b, "{weight}");
        }
        let names: Vec<_> = scratch.path().join("three").read_dir().unwrap().map(|f| f.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_str().unwrap().contains("partial")), "{names:?}");
    }

    #[test]
    fn refuses_to_overwrite_and_absurd_counts() {
        let scratch = tempfile::tempdir().unwrap();
        for shards in [0, 10_000] {
            let error = write_random(SMALL, scratch.path(), shards, 5, &mut |_, _| ()).unwrap_err().to_string();
            assert!(error.contains("files asked for"), "{error}");
        }
        std::fs::write(scratch.path().join("config.json"), "{}").unwrap();
        let error = write_random(SMALL, scratch.path(), 1, 5, &mut |_, _| ()).unwrap_err().to_string();
        assert!(error.contains("already holds config.json"), "{error}");
    }
}
