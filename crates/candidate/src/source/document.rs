//! A JSON of arrays as it is parsed: nested lists become one list of numbers and a shape, without a tree of values between.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use loupe_spec::{Dtype, HostTensor, Values};
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::array::{Array, Extent};

/// The arrays, in their order; those in an object called "tensors" as if they stood beside it.
pub(super) struct Document(pub Vec<(String, Entry)>);

pub(super) enum Entry {
    List(List),
    Described(Described),
    Text(String),
    Number(f64),
    Other,
}

/// Nested lists of numbers.
#[derive(Default)]
pub(super) struct List {
    shape: Vec<usize>,
    pub values: Vec<f64>,
    /// It holds words or objects: no array.
    other: bool,
}

impl List {
    /// In f32, which printed f32 numbers become again, however many digits they were printed with.
    pub fn tensor(self) -> HostTensor {
        HostTensor { shape: self.shape, values: Values::F64(self.values).to_dtype(Dtype::F32) }
    }
}

#[derive(Default)]
pub(super) struct Described {
    shape: Option<Vec<usize>>,
    dtype: Option<String>,
    data: Option<Data>,
    file: Option<String>,
    offset: u64,
    /// Some values of one row, as the config has them: `{"token": -1, "first": [0.1234, …], "from": 0}`.
    pub token: Option<i64>,
    pub first: Option<List>,
    pub from: usize,
    /// An object of objects is one of arrays.
    inner: Vec<(String, Entry)>,
}

pub(super) enum Data {
    Base64(String),
    List(List),
}

impl Described {
    /// Whether nothing in it is of an array.
    pub fn is_no_array(&self) -> bool {
        self.shape.is_none() && self.data.is_none() && self.file.is_none()
    }

    pub fn array(self, folder: &Path) -> Result<Array, String> {
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
                Ok(Array::Extent(Extent { file: folder.join(file), dtype, shape, offset: self.offset }))
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
