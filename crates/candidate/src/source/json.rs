//! Arrays in a JSON: nested lists, base64 of their bytes, or the name of a file with them.
//!
//! ```json
//! {"layers.0.output": [[0.5, -1.25], [3.0, 0.125]],
//!  "norm": {"shape": [2, 2], "dtype": "f32", "data": "AAAAPwAAoL8AAEBAAAAAPg=="},
//!  "logits": {"shape": [2, 412], "dtype": "f16", "file": "logits.bin", "offset": 0}}
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use loupe_spec::{Dtype, HostTensor, Values};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::raw::Part;
use super::timeline::{Timeline, timeline};
use super::{Reader, Source, SourceError, folder, msprobe};
use crate::sample::{Printed, Sample, lanes_from};

/// Printed numbers take ten bytes each: more of them belong into a binary file.
const LARGEST: u64 = 256 << 20;

/// One array.
#[derive(Clone, Debug)]
pub(super) enum Array {
    Held(HostTensor),
    Part(Part),
}

impl Array {
    fn shape(&self) -> Vec<usize> {
        match self {
            Array::Held(tensor) => tensor.shape.clone(),
            Array::Part(part) => part.shape.clone(),
        }
    }

    pub fn get(&self) -> Result<HostTensor, SourceError> {
        match self {
            Array::Held(tensor) => Ok(tensor.clone()),
            Array::Part(part) => part.get(),
        }
    }
}

pub(super) fn open(path: &Path) -> Result<Source, SourceError> {
    let bytes = loupe_files::read(path, LARGEST).map_err(SourceError::io(path))?;
    let bytes = numbers_quoted(&bytes);
    if let Some(Timeline { tensors, samples }) = timeline(&bytes) {
        let shapes = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let arrays = tensors.into_iter().map(|(name, tensor)| (name, Array::Held(tensor))).collect();
        let (kind, reader) = ("operator diagnostics", Reader::Json(arrays));
        return Ok(Source { path: path.to_path_buf(), kind, tensors: shapes, samples, reader });
    }
    if let Some(samples) = msprobe::samples(&bytes) {
        let values = loupe_files::folder_of(path).join(msprobe::VALUES);
        if values.is_dir() {
            return folder::open(&values);
        }
        let (kind, reader) = ("msProbe's statistics", Reader::Json(BTreeMap::new()));
        return Ok(Source { path: path.to_path_buf(), kind, tensors: Vec::new(), samples, reader });
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| {
        SourceError::broken(
            path,
            format!("it is to be one JSON object of arrays by name, {{\"norm\": [[…], …]}}: {error}"),
        )
    })?;
    let folder = loupe_files::folder_of(path);
    let (mut tensors, mut arrays, mut samples) = (Vec::new(), BTreeMap::new(), Vec::new());
    for (name, entry) in document.0 {
        let array = match entry {
            Entry::Described(Described { token: Some(token), first: Some(first), from, .. }) => {
                let numbers: Vec<Printed> = first.values.into_iter().map(Printed::of).collect();
                let lanes = lanes_from(from, numbers.len());
                samples.push(Sample { name, token, lanes, numbers, ..Sample::default() });
                continue;
            }
            Entry::List(list) => Array::Held(list.tensor()),
            // An object of settings.
            Entry::Described(described) if described.is_no_array() => continue,
            Entry::Described(described) => {
                described.array(folder).map_err(|what| SourceError::broken(path, format!("\"{name}\": {what}")))?
            }
            // Names of models, times and the like.
            Entry::Text(_) | Entry::Number(_) | Entry::Other => continue,
        };
        tensors.push((name.clone(), array.shape()));
        arrays.insert(name, array);
    }
    if tensors.is_empty() && samples.is_empty() {
        let what = "it holds no arrays; write {\"norm\": [[…], …]}, or {\"norm\": {\"shape\": […], \"dtype\": \"f32\", \
                    \"data\": \"base64\"}}";
        return Err(SourceError::broken(path, what));
    }
    Ok(Source { path: path.to_path_buf(), kind: "a JSON", tensors, samples, reader: Reader::Json(arrays) })
}

/// Python's json writes NaN and Infinity, which are no JSON: put in quotes outside of strings, they are.
fn numbers_quoted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut at, mut in_string) = (0, false);
    while let Some(byte) = bytes.get(at).copied() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
        match (in_string, byte, word) {
            (false, _, Some(word)) => {
                out.push(b'"');
                out.extend(word.as_bytes());
                out.push(b'"');
                at += word.len();
                continue;
            }
            (true, b'\\', _) => {
                out.push(byte);
                out.extend(bytes.get(at + 1));
                at += 2;
                continue;
            }
            (_, b'"', _) => in_string = !in_string,
            _ => {}
        }
        out.push(byte);
        at += 1;
    }
    out
}

/// The arrays, in their order; those in an object called "tensors" as if they stood beside it.
struct Document(Vec<(String, Entry)>);

enum Entry {
    List(List),
    Described(Described),
    Text(String),
    Number(f64),
    Other,
}

/// Nested lists of numbers.
#[derive(Default)]
struct List {
    shape: Vec<usize>,
    values: Vec<f64>,
    /// It holds words or objects: no array.
    other: bool,
}

impl List {
    /// In f32, which printed f32 numbers become again, however many digits they were printed with.
    fn tensor(self) -> HostTensor {
        HostTensor { shape: self.shape, values: Values::F64(self.values).to_dtype(Dtype::F32) }
    }
}

#[derive(Default)]
struct Described {
    shape: Option<Vec<usize>>,
    dtype: Option<String>,
    data: Option<Data>,
    file: Option<String>,
    offset: u64,
    /// Some values of one row, as the config has them: `{"token": -1, "first": [0.1234, …], "from": 0}`.
    token: Option<i64>,
    first: Option<List>,
    from: usize,
    /// An object of objects is one of arrays.
    inner: Vec<(String, Entry)>,
}

enum Data {
    Base64(String),
    List(List),
}

impl Described {
    /// Whether nothing in it is of an array.
    fn is_no_array(&self) -> bool {
        self.shape.is_none() && self.data.is_none() && self.file.is_none()
    }

    fn array(self, folder: &Path) -> Result<Array, String> {
        let dtype = match self.dtype.as_deref() {
            None => Dtype::F32,
            Some(name) => dtype(name)
                .ok_or_else(|| format!("\"dtype\" is \"{name}\", expected one of f64, f32, f16, bf16, i64, u8"))?,
        };
        let fits = |shape: &[usize], count: usize| {
            shape.iter().try_fold(1_usize, |all, length| all.checked_mul(*length)) == Some(count)
        };
        match (self.data, self.file) {
            (Some(Data::Base64(text)), _) => {
                let bytes = BASE64_STANDARD.decode(text.as_bytes()).map_err(|error| format!("\"data\": {error}"))?;
                if !bytes.len().is_multiple_of(dtype.size()) {
                    return Err(format!("\"data\" has {} bytes, which are no {dtype} numbers", bytes.len()));
                }
                let values = Values::from_le_bytes(dtype, &bytes);
                let shape = self.shape.unwrap_or_else(|| vec![values.len()]);
                if !fits(&shape, values.len()) {
                    return Err(format!("\"data\" has {} numbers, \"shape\" is {shape:?}", values.len()));
                }
                Ok(Array::Held(HostTensor { shape, values }))
            }
            (Some(Data::List(list)), _) => {
                let tensor = list.tensor();
                let shape = self.shape.unwrap_or_else(|| tensor.shape.clone());
                if !fits(&shape, tensor.values.len()) {
                    return Err(format!("\"data\" has {} numbers, \"shape\" is {shape:?}", tensor.values.len()));
                }
                Ok(Array::Held(HostTensor { shape, values: tensor.values }))
            }
            (None, Some(file)) => {
                let shape = self.shape.ok_or("\"file\" needs \"shape\" beside it")?;
                Ok(Array::Part(Part { file: folder.join(file), dtype, shape, offset: self.offset }))
            }
            (None, None) => Err("expected a list of numbers, or \"data\" or \"file\" with \"shape\"".to_string()),
        }
    }
}

/// A type under the names that numpy, torch and safetensors have for it.
fn dtype(name: &str) -> Option<Dtype> {
    let name = name.to_lowercase();
    let name = name.trim_start_matches("torch.");
    Some(match name {
        "float64" | "double" | "<f8" => Dtype::F64,
        "float32" | "float" | "<f4" => Dtype::F32,
        "float16" | "half" | "<f2" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "int64" | "long" | "<i8" => Dtype::I64,
        "uint8" | "bool" | "|u1" => Dtype::U8,
        other => return other.parse().ok(),
    })
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
        let entries = match Entry::deserialize(deserializer)? {
            Entry::Described(described) => described.inner,
            _ => return Err(D::Error::custom("expected an object of arrays by name")),
        };
        let mut all = Vec::new();
        for (name, entry) in entries {
            match entry {
                Entry::Described(described) if name == "tensors" => all.extend(described.inner),
                other => all.push((name, other)),
            }
        }
        Ok(Document(all))
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arrays by name")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
        let mut list = List::default();
        let count = fill(&mut seq, &mut list, 0)?;
        list.shape[0] = count;
        Ok(if list.other { Entry::Other } else { Entry::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut described = Described::default();
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), map.next_value::<Entry>()?) {
                ("shape", Entry::List(list)) => {
                    described.shape = Some(list.values.iter().map(|length| *length as usize).collect());
                }
                ("data" | "values", Entry::List(list)) => described.data = Some(Data::List(list)),
                (key, Entry::Text(text)) => match key {
                    "data" => described.data = Some(Data::Base64(text)),
                    "dtype" => described.dtype = Some(text),
                    "file" => described.file = Some(text),
                    _ => {}
                },
                ("offset", Entry::Number(number)) => described.offset = number as u64,
                ("token", Entry::Number(number)) => described.token = Some(number as i64),
                ("from", Entry::Number(number)) => described.from = number as usize,
                ("first", Entry::List(list)) => described.first = Some(list),
                (_, entry) => described.inner.push((key, entry)),
            }
        }
        // Without a token it is an array of that name.
        if described.token.is_none() {
            described.inner.extend(described.first.take().map(|list| ("first".to_string(), Entry::List(list))));
        }
        Ok(Entry::Described(described))
    }

    fn visit_str<E>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry::Text(text.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Entry, E> {
        Ok(Entry::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Entry, E> {
        Ok(Entry::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Entry, E> {
        Ok(Entry::Number(number as f64))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Entry, E> {
        Ok(Entry::Other)
    }

    fn visit_unit<E>(self) -> Result<Entry, E> {
        Ok(Entry::Other)
    }
}

/// As deep as any array here is.
const DEEPEST: usize = 8;

/// Takes the elements of a list at `depth` into `list`; how many there are.
fn fill<'de, A: SeqAccess<'de>>(seq: &mut A, list: &mut List, depth: usize) -> Result<usize, A::Error> {
    if depth >= DEEPEST {
        return Err(A::Error::custom(format!("lists nested more than {DEEPEST} deep")));
    }
    if list.shape.len() <= depth {
        list.shape.push(0);
    }
    let mut count = 0;
    while seq.next_element_seed(Element { list, depth })?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// One element of a list: a number, or a list again.
struct Element<'l> {
    list: &'l mut List,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Element<'_> {
    fn number<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if self.list.shape.len() > self.depth + 1 {
            return Err(E::custom("a number among lists"));
        }
        self.list.values.push(number);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.number(number as f64)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.number(f64::from(u8::from(value)))
    }

    /// `null`, which is what JavaScript writes for NaN.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.number(f64::NAN)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match text.parse::<f64>() {
            Ok(number) => self.number(number),
            Err(_) => {
                self.list.other = true;
                Ok(())
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.list.other = true;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Element { list, depth } = self;
        let first = list.shape.len() <= depth + 1;
        if first && !list.values.is_empty() {
            return Err(A::Error::custom("a list among numbers"));
        }
        let count = fill(&mut seq, list, depth + 1)?;
        match list.shape[depth + 1] {
            _ if first => list.shape[depth + 1] = count,
            expected if expected != count => {
                return Err(A::Error::custom(format!(
                    "a list of {count}, expected {expected} as in the one before it"
                )));
            }
            _ => {}
        }
        Ok(())
    }
}
