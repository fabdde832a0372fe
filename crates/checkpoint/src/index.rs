//! Which file holds which tensor: model.safetensors, or model.safetensors.index.json and its shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use loupe_spec::{echo, echo_path};
use serde::Deserialize;

use crate::CheckpointError;
use crate::hub::{HubModel, HubSettings};
use crate::names::{ALL, INDEX, SINGLE};
use crate::shard::Shard;
use crate::source::{File, Source};

/// The opened files of a checkpoint.
#[derive(Debug)]
pub(crate) struct Shards {
    /// By name, so that the same checkpoint always hashes the same.
    pub shards: Vec<Shard>,
    /// Tensor name to its place in `shards`: every tensor that the index names, or that the one file holds.
    pub holder: BTreeMap<String, usize>,
    /// The index's bytes.
    pub index: Option<File>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files of the checkpoint `model`, a folder or of the hub's cache, that a run may read, whether or not each is
/// there. Fetches nothing.
pub fn files_of(model: &str, revision: Option<&str>) -> Vec<PathBuf> {
    let folder = Path::new(model);
    let folder = match folder.is_dir() {
        true => Some(folder.to_path_buf()),
        false => HubModel::cached(model, revision, &HubSettings::from_env()),
    };
    let Some(folder) = folder else { return Vec::new() };
    let index = loupe_files::read(&folder.join(INDEX), LARGEST_INDEX).ok();
    let index = index.and_then(|bytes| serde_json::from_slice::<Index>(&bytes).ok());
    let shards = index.into_iter().flat_map(|index| index.weight_map.into_values());
    let names = ALL.map(str::to_string);
    names.into_iter().chain(shards).map(|name| folder.join(name)).collect()
}

/// An index says one short line of each tensor: no model's comes near.
const LARGEST_INDEX: u64 = 64 << 20;

impl Shards {
    /// Opens every file and reads its header. What is on this machine comes before what would have to be fetched.
    pub fn open(source: &Source) -> Result<Shards, CheckpointError> {
        if let Some(single) = source.local_file(SINGLE)? {
            return Shards::single(single);
        }
        if let Some(index) = source.local_file(INDEX)? {
            return Shards::indexed(source, index);
        }
        if let Some(single) = source.file(SINGLE)? {
            return Shards::single(single);
        }
        match source.file(INDEX)? {
            Some(index) => Shards::indexed(source, index),
            None => Err(source.missing(
                "model.safetensors or model.safetensors.index.json",
                "weights in another format (.bin, .gguf) have to be converted to safetensors first",
            )),
        }
    }

    fn single(file: File) -> Result<Shards, CheckpointError> {
        let shard = Shard::read(file)?;
        let holder = shard.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Shards { shards: vec![shard], holder, index: None })
    }

    fn indexed(source: &Source, file: File) -> Result<Shards, CheckpointError> {
        let wrong = |reason: String| CheckpointError::Index { path: file.path.clone(), reason };
        let index: Index = serde_json::from_slice(&file.bytes)
            .map_err(|e| wrong(format!("not a readable index: {}", echo(&e.to_string()))))?;
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        // All names are judged before the first file is fetched.
        if let Some(outside) = names.iter().find(|name| !is_plain_name(name)) {
            return Err(wrong(format!(
                "names the shard \"{}\", which lies outside the folder; shards stand beside the index",
                echo(outside)
            )));
        }
        let mut shards = Vec::new();
        let mut position = BTreeMap::new();
        for name in names {
            let shard = source.file(name)?.ok_or_else(|| {
                let absent = format!(
                    "names the shard {}, which is not there; fetch it, or the whole checkpoint again",
                    echo(name)
                );
                source.offline(name).unwrap_or_else(|| wrong(absent))
            })?;
            position.insert(name, shards.len());
            shards.push(Shard::read(shard)?);
        }
        let mut holder = BTreeMap::new();
        for (tensor, name) in &index.weight_map {
            let at = position.get(name).copied().unwrap_or_default();
            let holds = |shard: &&Shard| shard.info(tensor).is_some();
            if shards.get(at).filter(holds).is_none() {
                let truth = shards.iter().find(holds).map(|shard| format!("{} does", echo_path(&shard.path)));
                let truth = truth.unwrap_or_else(|| "no shard does".into());
                return Err(wrong(format!(
                    "says that {} holds {}, but it does not ({truth}); fetch the index again",
                    echo(name),
                    echo(tensor)
                )));
            }
            holder.insert(tensor.clone(), at);
        }
        Ok(Shards { shards, holder, index: Some(file) })
    }
}

/// Whether `name` can only mean a file in the same folder, on any operating system.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!(parts.next(), Some(Component::Normal(part)) if part == name);
    plain && parts.next().is_none() && !name.contains(['/', '\\', ':', '\0'])
}
