//! Numbers and nothing else. A `.bin` is f32, little-endian, one tensor that is called as the file is; a JSON may say of
//! others what they are.

use std::path::Path;

use loupe_spec::{Dtype, HostTensor, Values};

use super::array::{Array, Arrays, Extent};
use super::error::SourceError;
use super::opened::{Source, stem};

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
    let extent = Extent { file: path.to_path_buf(), dtype: Dtype::F32, shape: shape.clone(), offset: 0 };
    if let Some(name) = of_llama_cpp(&stem(path)) {
        let mut tensors = vec![(name.to_string(), shape)];
        let mut arrays = Arrays::from([(name.to_string(), Array::Extent(extent))]);
        if let Some(ids) = tokens_beside(path)? {
            tensors.push(("token_ids".to_string(), ids.shape.clone()));
            arrays.insert("token_ids".to_string(), Array::Held(ids));
        }
        return Ok(Source::new(path, "f32 numbers of llama.cpp's", tensors, Vec::new(), arrays));
    }
    let name = stem(path);
    let arrays = Arrays::from([(name.clone(), Array::Extent(extent))]);
    Ok(Source::new(path, "f32 numbers", vec![(name, shape)], Vec::new(), arrays))
}

/// What llama.cpp's model-conversion scripts write: `data/llamacpp-gemma-2-2b-it.bin` are the last token's logits,
/// `…-embeddings.bin` every token's final norm, and `pytorch-…` the same of transformers.
fn of_llama_cpp(stem: &str) -> Option<&'static str> {
    let name = ["llamacpp-", "pytorch-"].into_iter().find_map(|program| stem.strip_prefix(program))?;
    Some(if name.ends_with("-embeddings") { "norm" } else { "logits" })
}

/// The ids in `…-tokens.bin` beside `path`: 32 bits each.
fn tokens_beside(path: &Path) -> Result<Option<HostTensor>, SourceError> {
    let beside = path.with_file_name(format!("{}-tokens.bin", stem(path)));
    if !beside.is_file() {
        return Ok(None);
    }
    let bytes = loupe_files::read(&beside, LARGEST_PROMPT).map_err(SourceError::io(&beside))?;
    let ids: Vec<i64> = bytes.as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect();
    Ok((!ids.is_empty()).then(|| HostTensor { shape: vec![ids.len()], values: Values::I64(ids) }))
}

/// Bytes of more ids than any prompt has.
const LARGEST_PROMPT: u64 = 64 << 20;
