//! Reading a safetensors file: a report's, or any engine's dump.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use loupe_spec::{Dtype, HostTensor, Values, nearest};

use crate::ReportError;
use crate::header::{self, Header};

/// An open safetensors file. The header is read and checked; a tensor is read when it is asked for, so that a dump
/// larger than the memory can be judged tensor by tensor.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    header: Header,
    /// Locked because a read moves the file's position; held open so that a file replaced meanwhile does no harm.
    file: Mutex<File>,
}

/// Opens a safetensors file and checks its header against its length.
///
/// # Errors
/// A file that cannot be read, is cut off, or whose header is too long, no JSON, or places tensors wrongly.
pub fn read_safetensors(path: &Path) -> Result<TensorFile, ReportError> {
    let file = loupe_files::open(path).map_err(ReportError::io("open", path))?;
    let len = file.metadata().map_err(ReportError::io("read", path))?.len();
    let header = header::read(&file, len)
        .map_err(ReportError::io("read", path))?
        .map_err(|what| ReportError::Safetensors { path: path.to_path_buf(), what })?;
    Ok(TensorFile { path: path.to_path_buf(), header, file: Mutex::new(file) })
}

impl TensorFile {
    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of every tensor, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.header.metadata.offset_keys()
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.header.metadata.info(name).is_some()
    }

    /// The shape of a tensor, without reading it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.metadata.info(name).map(|info| info.shape.as_slice())
    }

    /// The type that [`TensorFile::get`] gives a tensor, without reading it. `None`: no such tensor, or a type that
    /// Loupe cannot read.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.header.metadata.info(name).and_then(|info| readable(info.dtype))
    }

    /// What the file says about itself: the header's `__metadata__`, sorted.
    pub fn metadata(&self) -> Vec<(&str, &str)> {
        let entries = self.header.metadata.metadata().iter().flatten();
        let mut entries: Vec<(&str, &str)> = entries.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        entries.sort_unstable();
        entries
    }

    /// Reads one tensor. I32 and U32 become i64, BOOL becomes u8.
    ///
    /// # Errors
    /// No tensor of that name (the nearest is named), a type that Loupe cannot read, or a read that fails.
    pub fn get(&self, name: &str) -> Result<HostTensor, ReportError> {
        let info = self.header.metadata.info(name).ok_or_else(|| {
            let names = self.names();
            let nearest = nearest(name, names.iter().map(String::as_str)).map(str::to_string);
            ReportError::NoTensor { path: self.path.clone(), name: name.to_string(), nearest }
        })?;
        let dtype = readable(info.dtype).ok_or_else(|| ReportError::Dtype {
            path: self.path.clone(),
            name: name.to_string(),
            found: info.dtype.to_string(),
        })?;
        let (start, end) = info.data_offsets;
        let bytes = self.bytes(start as u64, end - start).map_err(ReportError::io("read", &self.path))?;
        let values = match info.dtype {
            safetensors::Dtype::I32 => {
                Values::I64(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect())
            }
            safetensors::Dtype::U32 => {
                Values::I64(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect())
            }
            _ => Values::from_le_bytes(dtype, &bytes),
        };
        Ok(HostTensor { shape: info.shape.clone(), values })
    }

    fn bytes(&self, start: u64, len: usize) -> std::io::Result<Vec<u8>> {
        // The position is set before each read, so a thread that panicked while holding the lock left nothing wrong.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.header.data_start + start))?;
        let mut bytes = vec![0; len];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// The type in which Loupe holds elements of a stored type.
fn readable(stored: safetensors::Dtype) -> Option<Dtype> {
    Some(match stored {
        safetensors::Dtype::F64 => Dtype::F64,
        safetensors::Dtype::F32 => Dtype::F32,
        safetensors::Dtype::F16 => Dtype::F16,
        safetensors::Dtype::BF16 => Dtype::Bf16,
        safetensors::Dtype::I64 | safetensors::Dtype::I32 | safetensors::Dtype::U32 => Dtype::I64,
        safetensors::Dtype::U8 | safetensors::Dtype::BOOL => Dtype::U8,
        _ => return None,
    })
}
