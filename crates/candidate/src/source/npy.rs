//! numpy's `.npy`: a header in Python's syntax, read by npyz, and the numbers.

use std::io::{BufReader, Read};
use std::path::Path;

use loupe_spec::{Dtype, HostTensor, Values};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::error::SourceError;
use super::opened::{Reader, Source, stem};
use crate::layout::strided;

/// What a `.npy` says of its numbers.
#[derive(Clone, Debug)]
pub(super) struct Npy {
    pub shape: Vec<usize>,
    stored: Stored,
    big_endian: bool,
    /// The first axis steps fastest.
    fortran: bool,
}

/// The type of a number as numpy stores it.
#[derive(Clone, Copy, Debug)]
enum Stored {
    Float(Dtype),
    Signed(usize),
    Unsigned(usize),
}

/// As long as one of the format's first version can be; numpy itself reads 10,000 bytes.
const LONGEST_HEADER: u32 = 1 << 16;
/// A dict holds the shape, a tuple. Types of several fields, which are not read, nest a little more.
const DEEPEST_HEADER: i32 = 8;

impl Stored {
    fn size(self) -> usize {
        match self {
            Stored::Float(dtype) => dtype.size(),
            Stored::Signed(size) | Stored::Unsigned(size) => size,
        }
    }
}

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let file = loupe_files::open(path).map_err(SourceError::io(path))?;
    let length = file.metadata().map_err(SourceError::io(path))?.len();
    let mut reader = BufReader::new(file);
    let npy = Npy::read(&mut reader).map_err(|what| SourceError::broken(path, what))?;
    if npy.bytes().is_none_or(|bytes| bytes as u64 > length) {
        let what = format!("shape {:?} is more than the file's {length} bytes; it is cut off", npy.shape);
        return Err(SourceError::broken(path, what));
    }
    let tensors = vec![(stem(path), npy.shape)];
    Ok(Source::new(path, "numpy's .npy", tensors, Vec::new(), Whole))
}

/// A file of one array: whatever it is called.
#[derive(Debug)]
struct Whole;

impl Reader for Whole {
    fn get(&self, path: &Path, _: &str) -> Result<Option<HostTensor>, SourceError> {
        let mut reader = BufReader::new(loupe_files::open(path).map_err(SourceError::io(path))?);
        let tensor = Npy::read(&mut reader).and_then(|npy| npy.values(&mut reader));
        tensor.map(Some).map_err(|what| SourceError::broken(path, what))
    }
}

impl Npy {
    /// The header; `reader` is left at the first number.
    pub fn read(reader: &mut impl Read) -> Result<Npy, String> {
        let wrong = |what: String| format!("no header of numpy's: {what}");
        let bytes = header_bytes(reader).map_err(wrong)?;
        let header = NpyHeader::from_reader(bytes.as_slice()).map_err(|error| wrong(error.to_string()))?;
        let DType::Plain(stored) = header.dtype() else {
            return Err(format!("numbers of type {}, expected a plain one", header.dtype().descr()));
        };
        let size = stored.size_field() as usize;
        let unread = || format!("numbers of type {stored}, expected floats of 16, 32 or 64 bits or integers");
        let of = match (stored.type_char(), size) {
            (TypeChar::Float, 2) => Stored::Float(Dtype::F16),
            (TypeChar::Float, 4) => Stored::Float(Dtype::F32),
            (TypeChar::Float, 8) => Stored::Float(Dtype::F64),
            // numpy knows no bfloat16: ml_dtypes writes two bytes of no type.
            (TypeChar::RawData, 2) => Stored::Float(Dtype::Bf16),
            (TypeChar::Int, 1 | 2 | 4 | 8) => Stored::Signed(size),
            (TypeChar::Uint, 1 | 2 | 4 | 8) | (TypeChar::Bool, 1) => Stored::Unsigned(size),
            _ => return Err(unread()),
        };
        let shape: Vec<usize> = header.shape().iter().map(|length| *length as usize).collect();
        Ok(Npy {
            shape,
            stored: of,
            big_endian: stored.endianness() == Endianness::Big,
            fortran: header.order() == Order::Fortran,
        })
    }

    /// Bytes of the numbers; `None`: more than can be counted.
    pub fn bytes(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.stored.size(), |bytes, length| bytes.checked_mul(*length))
    }

    /// The numbers, which follow in `reader`.
    pub fn values(&self, reader: &mut impl Read) -> Result<HostTensor, String> {
        let expected = self.bytes().ok_or_else(|| format!("shape {:?} is larger than any memory", self.shape))?;
        let mut bytes = Vec::new();
        reader.take(expected as u64).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() < expected {
            return Err(format!("{} bytes of numbers, expected {expected} for shape {:?}", bytes.len(), self.shape));
        }
        let size = self.stored.size();
        if self.big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        let values = match self.stored {
            Stored::Float(dtype) => Values::from_le_bytes(dtype, &bytes),
            Stored::Unsigned(1) => Values::U8(bytes),
            stored => Values::I64(bytes.chunks_exact(size).map(|number| integer(number, stored)).collect()),
        };
        let values = if self.fortran { values.picked(&self.in_c_order()) } else { values };
        Ok(HostTensor { shape: self.shape.clone(), values })
    }

    /// Where each number of the tensor stands in a file whose first axis steps fastest.
    fn in_c_order(&self) -> Vec<usize> {
        let mut stride = 1;
        let axes = self.shape.iter().map(|length| {
            let axis = (*length, stride);
            stride *= length;
            axis
        });
        strided(0, axes)
    }
}

/// The header, from its first byte to its last. npyz would reserve as many bytes as it says it has, and takes twice as long for
/// every bracket in a bracket.
fn header_bytes(reader: &mut impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut read = |bytes: &mut Vec<u8>, count: u32| {
        let read = reader.take(count.into()).read_to_end(bytes).map_err(|error| error.to_string())?;
        if read as u64 == u64::from(count) { Ok(()) } else { Err("it is cut off".to_string()) }
    };
    // Six bytes by which it is known, two of its version. The first version says the length in two bytes, the others in four.
    read(&mut bytes, 8)?;
    let width = if bytes[6] == 1 { 2 } else { 4 };
    read(&mut bytes, width)?;
    let length = bytes[8..].iter().rev().fold(0, |length, byte| length << 8 | u32::from(*byte));
    if length > LONGEST_HEADER {
        return Err(format!("it would be {length} bytes long, expected at most {LONGEST_HEADER}"));
    }
    read(&mut bytes, length)?;
    let mut depth = 0;
    for byte in &bytes {
        depth += i32::from(b"{[(".contains(byte)) - i32::from(b"}])".contains(byte));
        if depth > DEEPEST_HEADER {
            return Err(format!("its brackets are nested more than {DEEPEST_HEADER} deep"));
        }
    }
    Ok(bytes)
}

/// A little-endian integer of up to eight bytes.
fn integer(bytes: &[u8], stored: Stored) -> i64 {
    let negative = matches!(stored, Stored::Signed(_)) && bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut all = if negative { [0xff; 8] } else { [0; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}
