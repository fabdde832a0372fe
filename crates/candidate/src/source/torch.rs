//! torch's `.pt` (since version 1.6): a zip with a pickle, which says what tensors there are, and an entry of bytes for each
//! storage.

use std::collections::BTreeMap;
use std::io::Read;

use loupe_spec::{Dtype, HostTensor, Values};

use super::pickle::{Py, unpickle};
use crate::layout::strided;

/// A pickle says some hundred bytes of a tensor.
pub(super) const LARGEST_PICKLE: u64 = 64 << 20;

/// The tensors of a `.pt`.
#[derive(Debug)]
pub(super) struct Torch {
    tensors: BTreeMap<String, Tensor>,
    /// What stands before the names of entries.
    root: String,
}

/// Where a tensor's numbers are.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    stored: Stored,
    /// The entry's name below `data/`.
    key: String,
    /// Numbers in the storage.
    count: usize,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// What torch calls a type, and how it is read.
#[derive(Clone, Copy, Debug)]
enum Stored {
    As(Dtype),
    I32,
    I16,
    I8,
}

impl Stored {
    fn of(storage: &str) -> Option<Stored> {
        Some(match storage {
            "torch FloatStorage" => Stored::As(Dtype::F32),
            "torch DoubleStorage" => Stored::As(Dtype::F64),
            "torch HalfStorage" => Stored::As(Dtype::F16),
            "torch BFloat16Storage" => Stored::As(Dtype::Bf16),
            "torch LongStorage" => Stored::As(Dtype::I64),
            "torch BoolStorage" | "torch ByteStorage" => Stored::As(Dtype::U8),
            "torch IntStorage" => Stored::I32,
            "torch ShortStorage" => Stored::I16,
            "torch CharStorage" => Stored::I8,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Stored::As(dtype) => dtype.size(),
            Stored::I32 => 4,
            Stored::I16 => 2,
            Stored::I8 => 1,
        }
    }
}

/// What a dump of tensors is made of. Everything else would be code.
fn may_make(name: &str) -> bool {
    matches!(
        name,
        "collections OrderedDict"
            | "torch._utils _rebuild_tensor_v2"
            | "torch._utils _rebuild_parameter"
            | "torch Size"
            | "torch device"
    )
}

impl Torch {
    /// Of the pickle `bytes`; `alone` is what a tensor is called that is all there is.
    ///
    /// # Errors
    /// No pickle of tensors.
    pub fn of(bytes: &[u8], root: &str, alone: &str) -> Result<Torch, String> {
        if bytes.len() as u64 > LARGEST_PICKLE {
            return Err(format!("its data.pkl is larger than {} MiB", LARGEST_PICKLE >> 20));
        }
        let mut tensors = BTreeMap::new();
        gather(&unpickle(bytes, may_make)?, String::new(), alone, DEEPEST, &mut tensors)?;
        if tensors.is_empty() {
            return Err("it holds no tensors; save a dict of them".to_string());
        }
        Ok(Torch { tensors, root: root.to_string() })
    }

    /// Every name and shape.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The zip entry with a tensor's bytes.
    pub fn entry(&self, tensor: &Tensor) -> String {
        format!("{}data/{}", self.root, tensor.key)
    }
}

/// Dicts in dicts; a list that holds itself would have no end.
const DEEPEST: usize = 16;

/// Finds the tensors in `value`, called by the keys and places that lead to them.
fn gather(
    value: &Py,
    name: String,
    alone: &str,
    depth: usize,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<(), String> {
    let inside = |key: String| if name.is_empty() { key } else { format!("{name}.{key}") };
    if depth == 0 {
        return Err(format!("\"{name}\" is nested more than {DEEPEST} deep"));
    }
    match value {
        Py::Dict(dict) => {
            for (key, value) in dict.borrow().iter() {
                let key = match key {
                    Py::Str(key) => key.to_string(),
                    Py::Int(key) => key.to_string(),
                    _ => continue,
                };
                gather(value, inside(key), alone, depth - 1, tensors)?;
            }
        }
        Py::List(list) => {
            for (at, value) in list.borrow().iter().enumerate() {
                gather(value, inside(at.to_string()), alone, depth - 1, tensors)?;
            }
        }
        Py::Tuple(values) => {
            for (at, value) in values.iter().enumerate() {
                gather(value, inside(at.to_string()), alone, depth - 1, tensors)?;
            }
        }
        Py::Made(what, arguments) => match (&**what, arguments.first()) {
            ("torch._utils _rebuild_tensor_v2", _) => {
                let called = if name.is_empty() { alone.to_string() } else { name };
                let tensor = Tensor::of(arguments).ok_or_else(|| {
                    format!("\"{called}\" is no tensor of a type that is read (floats of 16, 32 or 64 bits, integers)")
                })?;
                tensors.insert(called, tensor);
            }
            ("torch._utils _rebuild_parameter", Some(inner)) => gather(inner, name, alone, depth - 1, tensors)?,
            _ => {}
        },
        _ => {}
    }
    Ok(())
}

impl Tensor {
    /// Of the arguments of `_rebuild_tensor_v2`: storage, offset, size, strides, and what is of no interest.
    fn of(arguments: &[Py]) -> Option<Tensor> {
        let [Py::Elsewhere(storage), Py::Int(offset), Py::Tuple(shape), Py::Tuple(strides), ..] = arguments else {
            return None;
        };
        let Py::Tuple(storage) = &**storage else { return None };
        let [Py::Str(_), Py::Global(of), Py::Str(key), _, Py::Int(count)] = storage.as_slice() else { return None };
        let lengths = |tuple: &[Py]| -> Option<Vec<usize>> {
            tuple.iter().map(|item| if let Py::Int(item) = item { usize::try_from(*item).ok() } else { None }).collect()
        };
        let tensor = Tensor {
            stored: Stored::of(of)?,
            key: key.to_string(),
            count: usize::try_from(*count).ok()?,
            offset: usize::try_from(*offset).ok()?,
            shape: lengths(shape)?,
            strides: lengths(strides)?,
        };
        tensor.is_inside().then_some(tensor)
    }

    /// Whether every number is in the storage, and the tensor no larger than it.
    fn is_inside(&self) -> bool {
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (length, stride)| {
            last.checked_add(length.saturating_sub(1).checked_mul(*stride)?)
        });
        let count = self.shape.iter().try_fold(1_usize, |count, length| count.checked_mul(*length));
        self.strides.len() == self.shape.len()
            && count.is_some_and(|count| count <= self.count)
            && (count == Some(0) || last.is_some_and(|last| last < self.count))
    }

    /// The numbers, of the storage that `entry` holds.
    ///
    /// # Errors
    /// The storage is shorter than the pickle says.
    pub fn read(&self, entry: impl Read) -> Result<HostTensor, String> {
        let size = self.stored.size();
        let expected = self.count.checked_mul(size).ok_or("its storage is larger than any memory")?;
        let mut bytes = Vec::new();
        entry.take(expected as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() < expected {
            return Err(format!("{} bytes, expected {expected}", bytes.len()));
        }
        let all = match self.stored {
            Stored::As(dtype) => Values::from_le_bytes(dtype, &bytes),
            Stored::I32 => Values::I64(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
            Stored::I16 => Values::I64(bytes.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect()),
            Stored::I8 => Values::I64(bytes.iter().map(|b| i64::from(*b as i8)).collect()),
        };
        let places = strided(self.offset, self.shape.iter().copied().zip(self.strides.iter().copied()));
        Ok(HostTensor { shape: self.shape.clone(), values: all.picked(&places) })
    }
}
