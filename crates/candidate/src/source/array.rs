//! Arrays that are held, or lie in a file of numbers and nothing else.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use loupe_spec::{Dtype, HostTensor, Values};

use super::error::SourceError;
use super::opened::Reader;

/// One array.
#[derive(Clone, Debug)]
pub(super) enum Array {
    Held(HostTensor),
    Extent(Extent),
}

impl Array {
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Array::Held(tensor) => tensor.shape.clone(),
            Array::Extent(extent) => extent.shape.clone(),
        }
    }

    pub fn get(&self) -> Result<HostTensor, SourceError> {
        match self {
            Array::Held(tensor) => Ok(tensor.clone()),
            Array::Extent(extent) => extent.get(),
        }
    }
}

/// Several, by name.
pub(super) type Arrays = BTreeMap<String, Array>;

impl Reader for Arrays {
    fn get(&self, _: &Path, name: &str) -> Result<Option<HostTensor>, SourceError> {
        BTreeMap::get(self, name).map(Array::get).transpose()
    }
}

/// A tensor's place in a file.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub file: PathBuf,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The byte at which it begins.
    pub offset: u64,
}

impl Extent {
    pub fn get(&self) -> Result<HostTensor, SourceError> {
        let Extent { file: path, dtype, shape, offset } = self;
        let mut file = loupe_files::open(path).map_err(SourceError::io(path))?;
        let length = file.metadata().map_err(SourceError::io(path))?.len();
        let size = shape.iter().try_fold(dtype.size(), |bytes, length| bytes.checked_mul(*length));
        let there = length.saturating_sub(*offset);
        let size = size.filter(|size| *size as u64 <= there).ok_or_else(|| {
            let what = format!("{there} bytes from byte {offset} on, expected {dtype} numbers of shape {shape:?}");
            SourceError::broken(path, what)
        })?;
        let mut bytes = vec![0; size];
        file.seek(SeekFrom::Start(*offset)).map_err(SourceError::io(path))?;
        file.read_exact(&mut bytes).map_err(SourceError::io(path))?;
        Ok(HostTensor { shape: shape.clone(), values: Values::from_le_bytes(*dtype, &bytes) })
    }
}
