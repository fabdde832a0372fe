//! Files that are almost right.
//!
//! The mutations are those of every fuzzer: bits, bytes, pieces that go, come twice or come from elsewhere, numbers at the ends
//! of their types, words of the format. No crate of which we know brings them without a fuzzer around it that needs a nightly
//! Rust or a C++ compiler.

use std::io::{Cursor, Read, Write};

use loupe_spec::Random;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::kinds::Kind;

/// What is in a file behind checks that a changed byte seldom passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inside {
    /// Nothing: it is as it is.
    Bytes,
    /// A tree of values.
    Json,
    /// After eight bytes that say its length, a header in JSON (safetensors).
    Header,
    /// Files, each with a checksum.
    Zip,
}

/// Makes mutations of seeds, the same ones for the same seed number.
#[derive(Debug)]
pub struct Mutator {
    random: Random,
    inside: Inside,
    seeds: Vec<Vec<u8>>,
}

/// Words of the formats, and what is known to be hard to read.
const WORDS: [&[u8]; 40] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"-0.0",
    b"1e999",
    b"-1e-999",
    b"NaN",
    b"Infinity",
    b"nan",
    b"inf",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775807",
    b"4294967296",
    b"0.1",
    b"\\u0000",
    b"\\ud800",
    b"\x1b[2J",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    "\u{202e}".as_bytes(),
    b"...",
    b"/*",
    b"//",
    b"..",
    b"shape",
    b"dtype",
    b"data",
    b"data_offsets",
    b"__metadata__",
];

/// Numbers at the ends of their types.
const NUMBERS: [u64; 14] =
    [0, 1, 2, 7, 255, 256, 65_535, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 53, i64::MAX as u64, 1 << 63, u64::MAX];

impl Mutator {
    /// Of `seeds` of a kind. None of them, and there is nothing to mutate: then all files are empty at first.
    pub fn new(kind: &Kind, seeds: Vec<Vec<u8>>, seed: u64) -> Mutator {
        Mutator { random: Random::new(seed), inside: kind.inside, seeds }
    }

    /// The next file.
    pub fn file(&mut self) -> Vec<u8> {
        let bytes = self.seed();
        // Half of them as if the format had no checks.
        if self.below(2) == 0 {
            return self.bytes(bytes);
        }
        let inside = match self.inside {
            Inside::Bytes => None,
            Inside::Json => self.json(&bytes),
            Inside::Header => self.header(&bytes),
            Inside::Zip => self.zip(&bytes),
        };
        inside.unwrap_or_else(|| self.bytes(bytes))
    }

    fn below(&mut self, end: usize) -> usize {
        (self.random.uniform() * end as f64) as usize
    }

    fn seed(&mut self) -> Vec<u8> {
        let at = self.below(self.seeds.len());
        self.seeds.get(at).cloned().unwrap_or_default()
    }

    /// A piece of `bytes`: where it begins and ends. Short ones more often.
    fn piece(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.below(bytes.len() + 1);
        let longest = 1 << self.below(12);
        (start, (start + self.below(longest + 1)).min(bytes.len()))
    }

    fn bytes(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(6) {
            let (start, end) = self.piece(&bytes);
            match self.below(10) {
                0 => bytes.get_mut(start).into_iter().for_each(|byte| *byte ^= 1 << self.below(8)),
                1 => bytes.get_mut(start).into_iter().for_each(|byte| *byte = self.below(256) as u8),
                2 => drop(bytes.drain(start..end)),
                3 => {
                    let piece = bytes[start..end].to_vec();
                    let times = 1 << self.below(6);
                    bytes.splice(start..start, piece.repeat(times));
                }
                4 => {
                    let other = self.seed();
                    let (from, to) = self.piece(&other);
                    bytes.splice(start..end, other[from..to].iter().copied());
                }
                5 => {
                    let word = WORDS[self.below(WORDS.len())];
                    let times = if self.below(8) == 0 { 1 << self.below(14) } else { 1 };
                    bytes.splice(start..start, word.repeat(times));
                }
                6 => {
                    // A number of one, two, four or eight bytes, with either end first.
                    let number = NUMBERS[self.below(NUMBERS.len())];
                    let (width, little) = (1 << self.below(4), self.below(2) == 0);
                    let number = if little { number.to_le_bytes() } else { number.to_be_bytes() };
                    let number = if little { &number[..width] } else { &number[8 - width..] };
                    for (at, byte) in number.iter().enumerate() {
                        bytes.get_mut(start + at).into_iter().for_each(|old| *old = *byte);
                    }
                }
                7 => {
                    // A number that is written out.
                    let digits = |at: &usize| bytes.get(*at).is_some_and(u8::is_ascii_digit);
                    let first = (start..bytes.len()).find(digits).unwrap_or(start);
                    let last = (first..bytes.len()).find(|at| !digits(at)).unwrap_or(bytes.len());
                    let number = NUMBERS[self.below(NUMBERS.len())].to_string();
                    bytes.splice(first..last, number.bytes());
                }
                8 => bytes.truncate(end),
                _ => {
                    let (from, to) = self.piece(&bytes);
                    let piece = bytes[from..to].to_vec();
                    bytes.splice(start..end, piece);
                }
            }
        }
        bytes
    }

    fn json(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut value: Value = serde_json::from_slice(bytes).ok()?;
        for _ in 0..=self.below(3) {
            self.node(&mut value);
        }
        serde_json::to_vec(&value).ok()
    }

    /// Goes down to some node of the tree and makes something else of it.
    fn node(&mut self, value: &mut Value) {
        match value {
            Value::Object(object) if !object.is_empty() && self.below(8) > 0 => {
                let names: Vec<String> = object.keys().cloned().collect();
                let name = &names[self.below(names.len())];
                match self.below(16) {
                    0 => drop(object.remove(name)),
                    1 => {
                        let word = WORDS[self.below(WORDS.len())];
                        let value = object.get(name).cloned().unwrap_or_default();
                        object.insert(format!("{name}{}", String::from_utf8_lossy(word)), value);
                    }
                    2 => {
                        // What another name has.
                        let value = object.get(&names[self.below(names.len())]).cloned().unwrap_or_default();
                        object.insert(name.clone(), value);
                    }
                    _ => object.get_mut(name).into_iter().for_each(|value| self.node(value)),
                }
            }
            Value::Array(list) if !list.is_empty() && self.below(8) > 0 => {
                let at = self.below(list.len());
                match self.below(8) {
                    0 => drop(list.remove(at)),
                    1 => list.extend(vec![list[at].clone(); 1 << self.below(8)]),
                    _ => self.node(&mut list[at]),
                }
            }
            Value::String(text) if self.below(2) == 0 => {
                *text = String::from_utf8_lossy(&self.bytes(text.clone().into_bytes())).into_owned();
            }
            _ => *value = self.value(),
        }
    }

    fn value(&mut self) -> Value {
        match self.below(10) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(NUMBERS[self.below(NUMBERS.len())]),
            3 => json!(-(self.below(1 << 40) as i64)),
            4 => json!((self.random.uniform() - 0.5) * 10_f64.powi(self.below(600) as i32 - 300)),
            5 => json!(String::from_utf8_lossy(WORDS[self.below(WORDS.len())])),
            6 => json!([]),
            7 => json!({}),
            8 => json!([[0, -1, 1_u64 << 40]]),
            _ => json!("\u{1b}]0;\u{7}".repeat(1 << self.below(10))),
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let length = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?) as usize;
        let (header, data) = bytes.get(8..)?.split_at_checked(length)?;
        let header = if self.below(2) == 0 { self.json(header)? } else { self.bytes(header.to_vec()) };
        let data = if self.below(4) == 0 { self.bytes(data.to_vec()) } else { data.to_vec() };
        Some([(header.len() as u64).to_le_bytes().as_slice(), &header, &data].concat())
    }

    fn zip(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
        let changed = self.below(archive.len());
        let mut packed = ZipWriter::new(Cursor::new(Vec::new()));
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).ok()?;
            let (name, method) = (entry.name().to_string(), entry.compression());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).ok()?;
            if at == changed {
                content = self.bytes(content);
            }
            let method = if method == CompressionMethod::Stored { method } else { CompressionMethod::Deflated };
            packed.start_file(name, SimpleFileOptions::default().compression_method(method)).ok()?;
            packed.write_all(&content).ok()?;
        }
        Some(packed.finish().ok()?.into_inner())
    }
}
