//! Python's pickle, as far as torch writes it: a small machine with a stack, of which only the instructions that build data are
//! known here. Nothing is called: what Python would call is kept as its name and its arguments, and whoever reads it decides.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A value of Python's.
#[derive(Clone, Debug)]
pub(super) enum Py {
    /// None, a truth value or a float: nothing that a tensor is made of.
    Other,
    Int(i64),
    Str(Rc<str>),
    Tuple(Rc<Vec<Py>>),
    List(Rc<RefCell<Vec<Py>>>),
    Dict(Rc<RefCell<Vec<(Py, Py)>>>),
    /// A name in a module.
    Global(Rc<str>),
    /// What a name makes of arguments.
    Made(Rc<str>, Rc<Vec<Py>>),
    /// What is kept outside of the pickle.
    Elsewhere(Rc<Py>),
}

/// More instructions than a dump of any model has.
const MOST_STEPS: usize = 50_000_000;

/// The value that `bytes` builds. `may_make` says which names may be made into something: any other is an error that names it.
///
/// # Errors
/// An instruction that is not known, a name that may not be, or a pickle that is cut off.
pub(super) fn unpickle(bytes: &[u8], may_make: impl Fn(&str) -> bool) -> Result<Py, String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    for _ in 0..MOST_STEPS {
        if let Some(done) = machine.step(&may_make)? {
            return Ok(done);
        }
    }
    Err("the pickle has no end".to_string())
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Py>,
    /// Where in the stack an unfinished list, tuple or dict begins.
    marks: Vec<usize>,
    memo: HashMap<u32, Py>,
}

fn text(text: &str) -> Py {
    Py::Str(Rc::from(text))
}

impl Machine<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or("the pickle is cut off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, size: usize) -> Result<u64, String> {
        let mut all = [0; 8];
        all[..size].copy_from_slice(self.take(size)?);
        Ok(u64::from_le_bytes(all))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or("the pickle is cut off")?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    fn string(&mut self, length: u64) -> Result<Py, String> {
        let length = usize::try_from(length).map_err(|_| "the pickle is cut off")?;
        Ok(text(&String::from_utf8_lossy(self.take(length)?)))
    }

    fn pop(&mut self) -> Result<Py, String> {
        self.stack.pop().ok_or_else(|| "the pickle takes what it never put".to_string())
    }

    fn top(&self) -> Result<&Py, String> {
        self.stack.last().ok_or_else(|| "the pickle takes what it never put".to_string())
    }

    /// Everything since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Py>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or("the pickle has no mark")?;
        Ok(self.stack.split_off(mark))
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let value = self.memo.get(&key).cloned().ok_or("the pickle recalls what it never kept")?;
        self.stack.push(value);
        Ok(())
    }

    fn set(&mut self, pairs: Vec<Py>) -> Result<(), String> {
        let Py::Dict(dict) = self.top()? else { return Ok(()) };
        let mut dict = dict.borrow_mut();
        for pair in pairs.chunks_exact(2) {
            dict.push((pair[0].clone(), pair[1].clone()));
        }
        Ok(())
    }

    fn append(&mut self, values: Vec<Py>) -> Result<(), String> {
        if let Py::List(list) = self.top()? {
            list.borrow_mut().extend(values);
        }
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let start = self.stack.len().checked_sub(count).ok_or("the pickle takes what it never put")?;
        let values = self.stack.split_off(start);
        self.stack.push(Py::Tuple(Rc::new(values)));
        Ok(())
    }

    fn make(&mut self, may_make: &impl Fn(&str) -> bool) -> Result<(), String> {
        let (arguments, what) = (self.pop()?, self.pop()?);
        let (Py::Tuple(arguments), Py::Global(name)) = (arguments, what) else {
            return Err("the pickle calls what is no name".to_string());
        };
        if !may_make(&name) {
            return Err(format!(
                "it holds code: Python would call {name}; nothing is called here, so save tensors in dicts, lists and tuples alone: \
                 torch.save(dict(out), …)"
            ));
        }
        let made =
            if &*name == "collections OrderedDict" { Py::Dict(Rc::default()) } else { Py::Made(name, arguments) };
        self.stack.push(made);
        Ok(())
    }

    /// One instruction; the value where it is the last.
    fn step(&mut self, may_make: &impl Fn(&str) -> bool) -> Result<Option<Py>, String> {
        match self.take(1)?[0] {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(self.top()?.clone()),
            b'N' | 0x88 | 0x89 => self.stack.push(Py::Other),
            b'J' => {
                let number = self.number(4)? as u32;
                self.stack.push(Py::Int(i64::from(number as i32)));
            }
            b'K' => {
                let number = self.number(1)?;
                self.stack.push(Py::Int(number as i64));
            }
            b'M' => {
                let number = self.number(2)?;
                self.stack.push(Py::Int(number as i64));
            }
            0x8a => {
                let size = self.number(1)? as usize;
                if size > 8 {
                    return Err("the pickle holds an integer of more than 64 bits".to_string());
                }
                let bytes = self.take(size)?;
                let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
                let mut all = if negative { [0xff; 8] } else { [0; 8] };
                all[..size].copy_from_slice(bytes);
                self.stack.push(Py::Int(i64::from_le_bytes(all)));
            }
            b'G' => {
                self.take(8)?;
                self.stack.push(Py::Other);
            }
            // Text and bytes, with their length in one, four or eight bytes before them.
            0x8c | b'U' | b'C' => {
                let length = self.number(1)?;
                let string = self.string(length)?;
                self.stack.push(string);
            }
            b'X' | b'T' | b'B' => {
                let length = self.number(4)?;
                let string = self.string(length)?;
                self.stack.push(string);
            }
            0x8d | 0x8e => {
                let length = self.number(8)?;
                let string = self.string(length)?;
                self.stack.push(string);
            }
            b')' => self.stack.push(Py::Tuple(Rc::default())),
            b']' => self.stack.push(Py::List(Rc::default())),
            b'}' => self.stack.push(Py::Dict(Rc::default())),
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let values = self.since_mark()?;
                self.stack.push(Py::Tuple(Rc::new(values)));
            }
            b'l' => {
                let values = self.since_mark()?;
                self.stack.push(Py::List(Rc::new(RefCell::new(values))));
            }
            b'd' => {
                let values = self.since_mark()?;
                self.stack.push(Py::Dict(Rc::default()));
                self.set(values)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let values = self.since_mark()?;
                self.set(values)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.since_mark()?;
                self.append(values)?;
            }
            b'q' => {
                let key = self.number(1)? as u32;
                self.memo.insert(key, self.top()?.clone());
            }
            b'r' => {
                let key = self.number(4)? as u32;
                self.memo.insert(key, self.top()?.clone());
            }
            0x94 => {
                let key = self.memo.len() as u32;
                self.memo.insert(key, self.top()?.clone());
            }
            b'h' => {
                let key = self.number(1)? as u32;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)? as u32;
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack.push(Py::Global(Rc::from(format!("{module} {name}"))));
            }
            0x93 => {
                let (Py::Str(name), Py::Str(module)) = (self.pop()?, self.pop()?) else {
                    return Err("the pickle names what is no name".to_string());
                };
                self.stack.push(Py::Global(Rc::from(format!("{module} {name}"))));
            }
            b'Q' => {
                let what = self.pop()?;
                self.stack.push(Py::Elsewhere(Rc::new(what)));
            }
            // Both make something of a name and arguments.
            b'R' | 0x81 => self.make(may_make)?,
            // What an object holds beside its arguments.
            b'b' => drop(self.pop()?),
            other => return Err(format!("the pickle has an instruction {other:#04x} that no file of torch's has")),
        }
        Ok(None)
    }
}
