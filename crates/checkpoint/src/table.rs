//! The files' tensors against the table of `loupe-spec`: each of the right name, shape and type, and what is left over.

use std::collections::{BTreeMap, HashMap};

use loupe_spec::{Config, Dtype, Graph, Weight, echo, nearest};

use crate::index::Shards;

/// Where a tensor is.
#[derive(Debug)]
pub(crate) struct Located {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    /// Its file's place in [`Shards::shards`].
    pub shard: usize,
}

/// The result of holding the files against the table.
#[derive(Debug)]
pub(crate) struct Table {
    pub located: HashMap<Weight, Located>,
    /// One sentence each; with any, the checkpoint cannot be used.
    pub problems: Vec<String>,
    /// One sentence each for the tensors that nothing reads.
    pub unused: Vec<String>,
}

impl Table {
    pub fn check(config: &Config, shards: &Shards) -> Table {
        let mut table = Table { located: HashMap::new(), problems: Vec::new(), unused: Vec::new() };
        // A config.json may claim millions of layers; one more than there are tensors is enough to show what is missing.
        let num_hidden_layers = config.num_hidden_layers.min(shards.holder.len() + 1);
        let expected = Config { num_hidden_layers, ..config.clone() };
        let graph = Graph::of(&expected);
        let wanted: BTreeMap<String, Weight> = graph.weights().map(|weight| (weight.to_string(), weight)).collect();
        let extra: Vec<&str> =
            shards.holder.keys().map(String::as_str).filter(|name| !wanted.contains_key(*name)).collect();
        for weight in graph.weights() {
            let name = weight.to_string();
            match table.locate(shards, &name, graph.weight_shape(weight)) {
                Ok(located) => drop(table.located.insert(weight, located)),
                Err(Some(problem)) => table.problems.push(problem),
                Err(None) => {
                    let near = nearest(&name, extra.iter().copied());
                    let near =
                        near.map(|near| format!("; the nearest unused name is {}", echo(near))).unwrap_or_default();
                    table.problems.push(format!("missing: {name} {:?}{near}", graph.weight_shape(weight)));
                }
            }
        }
        for name in extra {
            table.unused.push(unused(name, config, &wanted));
        }
        table
    }

    /// Where `weight` is; `Err(None)` where it is missing.
    fn locate(&self, shards: &Shards, name: &str, expected: Vec<usize>) -> Result<Located, Option<String>> {
        let shard = *shards.holder.get(name).ok_or(None)?;
        let info = shards.shards.get(shard).and_then(|shard| shard.info(name)).ok_or(None)?;
        if info.shape != expected {
            let found = &info.shape;
            return Err(Some(format!("misshapen: {name} is {found:?}, expected {expected:?} from config.json")));
        }
        let Some(dtype) = float(info.dtype) else {
            return Err(Some(format!(
                "of another type: {name} is {}, expected BF16, F16, F32 or F64; a quantised checkpoint has to be dequantised first",
                info.dtype
            )));
        };
        Ok(Located { name: name.into(), shape: expected, dtype, shard })
    }
}

fn unused(name: &str, config: &Config, wanted: &BTreeMap<String, Weight>) -> String {
    let why = if config.tie_word_embeddings && name == Weight::LM_HEAD.to_string() {
        ": config.json says tie_word_embeddings, so the embedding table is the head".into()
    } else if name.parse().is_ok_and(|weight: Weight| weight.layer().is_some()) {
        format!(": config.json has {} layers", config.num_hidden_layers)
    } else {
        let near = nearest(name, wanted.keys().map(String::as_str));
        near.map(|near| format!("; the nearest name that is read is {near}")).unwrap_or_default()
    };
    format!("unused: {}{why}", echo(name))
}

/// The type a file names, if weights may be stored in it.
fn float(dtype: safetensors::Dtype) -> Option<Dtype> {
    Dtype::FLOATS.into_iter().find(|float| stored(*float) == dtype)
}

/// The name that a file gives a type.
pub(crate) fn stored(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F64 => safetensors::Dtype::F64,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::I64 => safetensors::Dtype::I64,
        Dtype::U8 => safetensors::Dtype::U8,
    }
}
