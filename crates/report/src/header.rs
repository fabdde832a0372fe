//! The header of a safetensors file: eight bytes of length, then JSON with every tensor's type, shape and place.

use std::collections::HashMap;
use std::io::{self, Read};

use loupe_spec::{Dtype, HostTensor, echo};
use safetensors::tensor::{Metadata, TensorInfo};

use crate::{ReportError, SCHEMA};

/// The bytes of the length, and the alignment of everything after them.
const LENGTH_BYTES: usize = 8;
/// The format's own limit.
const LONGEST: u64 = 100_000_000;

/// Where each tensor lies in a file, and where the first of them starts.
#[derive(Debug)]
pub(crate) struct Header {
    pub metadata: Metadata,
    pub data_start: u64,
}

/// Reads the header of a file of `file_len` bytes and holds it against that length.
///
/// The inner error is what is wrong with the file; the outer one is the system's.
pub(crate) fn read(mut file: impl Read, file_len: u64) -> io::Result<Result<Header, String>> {
    if file_len < LENGTH_BYTES as u64 {
        return Ok(Err(format!("it has {file_len} bytes, and the length of its header alone takes {LENGTH_BYTES}")));
    }
    let mut length = [0; LENGTH_BYTES];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let left = file_len - LENGTH_BYTES as u64;
    // Held against the file before anything of that size is reserved.
    if length > left {
        return Ok(Err(format!("its header claims {length} bytes, but only {left} follow")));
    }
    if length > LONGEST {
        return Ok(Err(format!("its header claims {length} bytes, more than the {LONGEST} of the format")));
    }
    let mut json = Vec::new();
    file.take(length).read_to_end(&mut json)?;
    Ok(parse(&json, left - length).map(|metadata| Header { metadata, data_start: LENGTH_BYTES as u64 + length }))
}

/// The header in `json`, whose tensors must fill `data_len` bytes without a gap or an overlap.
fn parse(json: &[u8], data_len: u64) -> Result<Metadata, String> {
    let metadata: Metadata =
        serde_json::from_slice(json).map_err(|error| format!("its header is wrong: {}", echo(&error.to_string())))?;
    let described = metadata.data_len() as u64;
    if described > data_len {
        return Err(format!(
            "its tensors take {described} bytes, but only {data_len} follow the header: it is cut off"
        ));
    }
    if described < data_len {
        return Err(format!("its tensors take {described} bytes, but {data_len} follow the header"));
    }
    Ok(metadata)
}

/// The header of a report's file and the order in which its tensors' bytes follow.
pub(crate) fn of(tensors: &[(String, HostTensor)]) -> Result<(Vec<u8>, Vec<&HostTensor>), ReportError> {
    // Wide types first, as the format's own writer has it: then every tensor is aligned. Stable, so each type keeps
    // the order of computing.
    let mut sorted: Vec<&(String, HostTensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.values.dtype().size()));
    let mut infos: Vec<(String, TensorInfo)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut at = 0;
    for (name, tensor) in &sorted {
        let refuse = |what: String| ReportError::Tensor { name: name.clone(), what };
        if !seen.insert(name) {
            return Err(refuse("the report has two of that name".to_string()));
        }
        let (shape, len) = (&tensor.shape, tensor.values.len());
        if shape.iter().try_fold(1, |product: usize, n| product.checked_mul(*n)) != Some(len) {
            return Err(refuse(format!("it has the shape {shape:?}, but {len} elements")));
        }
        let end = at + len * tensor.values.dtype().size();
        infos.push((
            name.clone(),
            TensorInfo { dtype: stored(tensor.values.dtype()), shape: shape.clone(), data_offsets: (at, end) },
        ));
        at = end;
    }
    let schema = HashMap::from([("schema".to_string(), SCHEMA.to_string())]);
    let refuse = |what: String| ReportError::Tensor { name: "(header)".to_string(), what };
    let metadata = Metadata::new(Some(schema), infos).map_err(|error| refuse(error.to_string()))?;
    let mut json = serde_json::to_vec(&metadata).map_err(|error| refuse(error.to_string()))?;
    json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok((bytes, sorted.into_iter().map(|(_, tensor)| tensor).collect()))
}

/// The type's name in a safetensors file.
fn stored(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F64 => safetensors::Dtype::F64,
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::I64 => safetensors::Dtype::I64,
        Dtype::U8 => safetensors::Dtype::U8,
    }
}
