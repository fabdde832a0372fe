//! The tensors of a checkpoint, read row by row from memory-mapped files.

use std::collections::HashMap;
use std::ops::Range;

use loupe_spec::{Config, Dtype, HostTensor, Weight};

use crate::convert::{Pieces, convert};
use crate::finite;
use crate::hash::sha256_hex_of;
use crate::index::Shards;
use crate::shard::Shard;
use crate::source::{File, Source};
use crate::table::{Located, Table};
use crate::{Change, CheckpointError, Entry, RowSelection};

/// The checked tensors of a checkpoint. Holds maps of the files, no data of its own.
#[derive(Debug)]
pub struct Tensors {
    id: String,
    shards: Vec<Shard>,
    located: HashMap<Weight, Located>,
    notes: Vec<String>,
    changes: HashMap<Weight, Change>,
}

impl Tensors {
    pub(crate) fn open(
        location: &str,
        source: &Source,
        config_file: &File,
        config: &Config,
    ) -> Result<Tensors, CheckpointError> {
        let files = Shards::open(source)?;
        let Table { located, mut problems, unused } = Table::check(config, &files);
        if !problems.is_empty() {
            problems.extend(unused);
            return Err(CheckpointError::Tensors { location: location.into(), problems });
        }
        let mut hashed: Vec<&[u8]> = vec![&config_file.bytes];
        hashed.extend(files.index.iter().map(|file| file.bytes.as_ref()));
        hashed.extend(files.shards.iter().map(Shard::header));
        Ok(Tensors { id: sha256_hex_of(hashed), shards: files.shards, located, notes: unused, changes: HashMap::new() })
    }

    /// The same tensors, of which some are read changed. Their files stay as they are, and so do [`Tensors::id`] and
    /// [`Tensors::entry`], which speak of the files.
    #[must_use]
    pub fn changed(self, changes: impl IntoIterator<Item = (Weight, Change)>) -> Tensors {
        Tensors { changes: changes.into_iter().collect(), ..self }
    }

    /// What identifies the checkpoint: SHA-256 of config.json, then the index if there is one, then the header of each
    /// file (with the 8 bytes that give its length), files in order of name. Never the data.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// One sentence for each tensor that nothing reads.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The widest type in which a tensor is stored.
    pub fn widest(&self) -> Dtype {
        let stored = self.located.values().map(|located| located.dtype);
        stored.max_by_key(|dtype| (dtype.size(), dtype.significand_bits())).unwrap_or(Dtype::F32)
    }

    /// The tensor as it is stored; touches no data.
    ///
    /// # Errors
    /// A layer beyond the last, or `lm_head.weight` where config.json ties it to the embedding table.
    pub fn entry(&self, weight: Weight) -> Result<Entry<'_>, CheckpointError> {
        let stored = self.located.get(&weight).and_then(|located| {
            let shard = self.shards.get(located.shard)?;
            Some((located, shard, shard.info(&located.name)?))
        });
        let Some((located, shard, info)) = stored else {
            let layers = self.located.keys().filter_map(|weight| Some(weight.layer()? + 1));
            let reason = match weight {
                Weight::LM_HEAD => {
                    format!("config.json says tie_word_embeddings; read {} in its place", Weight::EMBED_TOKENS)
                }
                _ => format!("config.json has {} layers, counted from 0", layers.max().unwrap_or(0)),
            };
            return Err(CheckpointError::NoSuchTensor { name: weight.to_string(), reason });
        };
        Ok(Entry {
            name: &located.name,
            shape: &located.shape,
            dtype: located.dtype,
            file: &shard.path,
            bytes: shard.tensor(info),
        })
    }

    /// How the tensor is changed when it is read.
    pub(crate) fn change(&self, weight: Weight) -> Option<Change> {
        self.changes.get(&weight).copied()
    }

    /// The files.
    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Lets go of the memory behind `bytes` of the tensor's file, which were read.
    pub(crate) fn release(&self, weight: Weight, bytes: &[u8]) {
        if let Some(shard) = self.located.get(&weight).and_then(|located| self.shards.get(located.shard)) {
            shard.release(bytes);
        }
    }

    /// Rows of a tensor, each element converted to `dtype` by rounding to nearest, ties to even, and checked.
    ///
    /// # Errors
    /// As [`Tensors::entry`]; rows that the tensor does not have; a `dtype` that is no float; and NaN or infinity in the
    /// result, be it stored or because the value is beyond `dtype`.
    pub fn read(&self, weight: Weight, rows: RowSelection<'_>, dtype: Dtype) -> Result<HostTensor, CheckpointError> {
        let entry = self.entry(weight)?;
        let (pieces, shape) = cut(&entry, &rows)?;
        let changed = self.change(weight).map(|change| pieces.changed(change, entry.dtype));
        let pieces = changed.as_ref().map_or(pieces, |bytes| Pieces::of_run(bytes, entry.dtype));
        let values = convert(&pieces, entry.dtype, dtype).map_err(|no_float| entry.wrong_rows(no_float))?;
        let read_once = match &rows {
            RowSelection::All => Some(entry.bytes),
            RowSelection::Range(range) => entry.rows(range),
            RowSelection::List(_) => None,
        };
        if let Some(bytes) = read_once {
            self.release(weight, bytes);
        }
        match values {
            (values, true) => Ok(HostTensor { shape, values }),
            (values, false) => Err(finite::complain(&entry, &rows, &values)),
        }
    }
}

/// The bytes of the rows asked for, and the shape of the tensor they make.
fn cut<'a>(entry: &Entry<'a>, rows: &RowSelection<'_>) -> Result<(Pieces<'a>, Vec<usize>), CheckpointError> {
    let run = |range: &Range<usize>| {
        entry.rows(range).ok_or_else(|| {
            let asked = if range.len() == 1 { format!("row {}", range.start) } else { format!("rows {range:?}") };
            entry.wrong_rows(match entry.shape {
                [count, _, ..] => format!("{asked} asked for, but it has {count} rows, counted from 0"),
                _ => format!("{asked} asked for, but a tensor of one axis is only read whole"),
            })
        })
    };
    let shape = |length: usize| std::iter::once(length).chain(entry.shape.iter().skip(1).copied()).collect();
    Ok(match rows {
        RowSelection::All => (Pieces::of_run(entry.bytes, entry.dtype), entry.shape.to_vec()),
        RowSelection::Range(range) => (Pieces::of_run(run(range)?, entry.dtype), shape(range.len())),
        RowSelection::List(list) => {
            let rows = list.iter().map(|index| run(&(*index..index.saturating_add(1)))).collect::<Result<_, _>>()?;
            (Pieces::of_rows(rows, entry.width()), shape(list.len()))
        }
    })
}
