//! Numbers and nothing else. A `.bin` is f32, little-endian, one tensor that is called as the file is; a JSON may say of
//! others what they are.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use loupe_spec::{Dtype, HostTensor, Values};

use super::{Reader, Source, SourceError, stem};

/// A tensor's place in a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub file: PathBuf,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// The byte at which it begins.
    pub offset: u64,
}

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let file = loupe_files::open(path).map_err(SourceError::io(path))?;
    let length = file.metadata().map_err(SourceError::io(path))?.len();
    if !length.is_multiple_of(4) || length == 0 {
        let what = format!(
            "{length} bytes are no f32 numbers; say type and shape in a JSON: {{\"name\": {{\"file\": \"it.bin\", \"dtype\": \
             \"f16\", \"shape\": [7, 2304]}}}}"
        );
        return Err(SourceError::broken(path, what));
    }
    let shape = vec![length as usize / 4];
    let part = Part { file: path.to_path_buf(), dtype: Dtype::F32, shape: shape.clone(), offset: 0 };
    let (name, kind) = (stem(path), "f32 numbers");
    let reader = Reader::Raw(BTreeMap::from([(name.clone(), part)]));
    Ok(Source { path: path.to_path_buf(), kind, tensors: vec![(name, shape)], samples: Vec::new(), reader })
}

impl Part {
    pub fn get(&self) -> Result<HostTensor, SourceError> {
        let Part { file: path, dtype, shape, offset } = self;
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
