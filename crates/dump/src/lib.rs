//! Writes the values of an engine in Rust to a file that Loupe judges: safetensors, from slices.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (q, hidden) = (vec![0.0f32; 3 * 8 * 256], vec![0u8; 3 * 2304 * 2]);
//! # let path = std::env::temp_dir().join("loupe-dump-doc.safetensors");
//! use loupe_dump::{Dtype, Dump};
//!
//! let mut dump = Dump::new();
//! dump.tokens(&[2, 651, 2881])?; // what the engine ran, <bos> included
//! dump.add("layers.0.self_attn.q_proj", &[3, 8, 256], &q)?;
//! dump.add_bytes("layers.0.output", Dtype::BF16, &[3, 2304], hidden)?; // any type, little-endian
//! dump.save(&path)?;
//! # std::fs::remove_file(path)?;
//! # Ok(())
//! # }
//! ```
//!
//! Names are Loupe's (docs/probes.md) or the engine's own (docs/candidates.md says which are known).

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

pub use safetensors::Dtype;
use safetensors::tensor::TensorView;
use safetensors::{SafeTensorError, serialize_to_file};

/// A number that a dump can hold.
pub trait Element: Copy {
    /// Its type in the file.
    const DTYPE: Dtype;
    /// Its bytes, little-endian, appended to `bytes`.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! elements {
    ($($number:ty: $dtype:ident),*) => { $(
        impl Element for $number {
            const DTYPE: Dtype = Dtype::$dtype;
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

elements!(f64: F64, f32: F32, i64: I64, i32: I32, u32: U32, u8: U8);

/// Why a tensor or a file could not be written.
#[derive(Debug)]
pub enum DumpError {
    /// A dump holds one forward pass, and this name was added before.
    Twice(String),
    /// The lengths of the shape do not multiply to as many bytes.
    Shape {
        /// The tensor.
        name: String,
        /// As given.
        shape: Vec<usize>,
        /// As given.
        dtype: Dtype,
        /// How many bytes there are.
        bytes: usize,
    },
    /// What the safetensors crate says.
    Write(SafeTensorError),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DumpError::Twice(name) => write!(f, "\"{name}\" is there already; a dump holds one forward pass"),
            DumpError::Shape { name, shape, dtype, bytes } => {
                write!(f, "\"{name}\" has {bytes} bytes, expected {shape:?} values of {dtype}")
            }
            DumpError::Write(error) => write!(f, "cannot write the dump: {error}"),
        }
    }
}

impl std::error::Error for DumpError {}

/// The values of one forward pass, held until they are saved.
#[derive(Debug, Default)]
pub struct Dump {
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl Dump {
    /// With nothing in it.
    pub fn new() -> Dump {
        Dump::default()
    }

    /// The ids that the engine ran, in order.
    ///
    /// # Errors
    /// They were added before.
    pub fn tokens(&mut self, ids: &[u32]) -> Result<(), DumpError> {
        self.add("token_ids", &[ids.len()], ids)
    }

    /// A tensor: `values` in row-major order, as many as the lengths of `shape` multiply to. They are copied.
    ///
    /// # Errors
    /// Another number of values, or a name that was added before.
    pub fn add<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) -> Result<(), DumpError> {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|value| value.append(&mut bytes));
        self.add_bytes(name, T::DTYPE, shape, bytes)
    }

    /// A tensor of any type, as its little-endian bytes: how a GPU's buffer of `BF16` or `F16` is read back.
    ///
    /// # Errors
    /// Another number of bytes, or a name that was added before.
    pub fn add_bytes(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Result<(), DumpError> {
        if self.tensors.contains_key(name) {
            return Err(DumpError::Twice(name.to_string()));
        }
        let bits = shape.iter().try_fold(dtype.bitsize(), |product, length| product.checked_mul(*length));
        if bits != bytes.len().checked_mul(8) {
            return Err(DumpError::Shape { name: name.to_string(), shape: shape.to_vec(), dtype, bytes: bytes.len() });
        }
        self.tensors.insert(name.to_string(), (dtype, shape.to_vec(), bytes));
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DumpError> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (name, view))
        });
        let views = views.collect::<Result<Vec<_>, _>>().map_err(DumpError::Write)?;
        serialize_to_file(views, None, path.as_ref()).map_err(DumpError::Write)
    }
}
