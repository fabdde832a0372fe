//! An object of the document, read key by key.

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::{Range, Ranged};
use loupe_spec::{echo, hint, nearest};

use crate::error::{Noted, Problems};
use crate::key::{EDITORS, Key};
use crate::read::{Mismatch, Reads, alternatives};

/// The keys that an object inside the document takes from the document where it has none of its own.
pub(crate) const INHERITED: [&str; 4] = ["model", "revision", "prompt", "token_ids"];

/// How many characters of a wrong value a message shows.
const LONGEST_SHOWN: usize = 60;

/// An object and where to note what is wrong with it.
pub(crate) struct Fields<'d> {
    object: &'d Object<'d>,
    /// The document around this object, from which it takes the [`INHERITED`] keys.
    outer: Option<&'d Object<'d>>,
    /// Begins the sentence "… needs".
    whose: String,
    /// The place to show for something that is not there: what names the object, or its opening brace.
    place: Range,
    problems: &'d Problems<'d>,
}

impl<'d> Fields<'d> {
    pub(crate) fn new(object: &'d Object<'d>, whose: String, problems: &'d Problems<'d>) -> Fields<'d> {
        let brace = Range::new(object.range.start, object.range.start + 1);
        let place = object.get("check").map_or(brace, |check| check.value.range());
        Fields { object, outer: None, whose, place, problems }
    }

    /// The same object under the name that it has since more is known.
    pub(crate) fn named(&self, whose: String) -> Fields<'d> {
        Fields { whose, ..*self }
    }

    /// The same object, named by the value at `place`.
    pub(crate) fn named_at(&self, whose: String, place: Range) -> Fields<'d> {
        Fields { whose, place, ..*self }
    }

    /// Every key of the object itself, in order; but not what a document tells an editor.
    pub(crate) fn keys(&self) -> Vec<&'d str> {
        let all = self.object.properties.iter().map(|property| property.name.as_str());
        all.filter(|name| self.outer.is_some() || *name != EDITORS).collect()
    }

    /// Whether the object itself has the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.own(key).is_some()
    }

    fn own(&self, key: &str) -> Option<&'d ObjectProp<'d>> {
        self.object.get(key)
    }

    fn get(&self, key: &str) -> Option<&'d ObjectProp<'d>> {
        let outer = self.outer.filter(|_| INHERITED.contains(&key)).and_then(|outer| outer.get(key));
        self.own(key).or(outer)
    }

    /// Notes what is wrong with the object as a whole.
    pub(crate) fn note(&self, message: String, help: Option<String>) -> Noted {
        self.problems.note(self.place, "here", message, help)
    }

    /// Notes what is wrong with the key itself.
    pub(crate) fn note_key(&self, key: &str, message: String, help: Option<String>) -> Noted {
        let range = self.own(key).map_or(self.place, |property| property.name.range());
        self.problems.note(range, "this key", message, help)
    }

    /// Notes every key that is not allowed, with the allowed one that may have been meant.
    pub(crate) fn only(&self, allowed: &[&str]) {
        for key in self.keys().into_iter().filter(|key| !allowed.contains(key)) {
            let near = hint(nearest(key, allowed.iter().copied()));
            let message = format!("{} has no key \"{}\"{near}", self.whose, echo(key));
            self.note_key(key, message, Some(format!("its keys are {}", allowed.join(", "))));
        }
    }

    /// Notes that some of the keys, of which one may be there, are there together.
    pub(crate) fn at_most_one(&self, keys: [&str; 2]) -> Result<(), Noted> {
        if keys.iter().all(|key| self.get(key).is_some()) {
            let message = format!("\"{}\" and \"{}\" are both there, expected one of them", keys[0], keys[1]);
            return Err(self.note_key(
                keys[1],
                message,
                Some("they say the same thing in two ways: delete one".into()),
            ));
        }
        Ok(())
    }

    /// Notes that none of the keys is there.
    pub(crate) fn missing(&self, keys: &[&str]) -> Noted {
        let message = format!("{} needs {}", self.whose, alternatives(keys.iter().copied()));
        self.problems.note(self.place, "incomplete", message, None)
    }

    /// The key's value; `None` where the key is not there.
    pub(crate) fn optional<R: Reads>(&self, key: &Key<R>) -> Result<Option<R::Out>, Noted> {
        self.get(key.name).map(|property| self.read(key.name, &property.value, &key.takes)).transpose()
    }

    /// The key's value; noted where the key is not there.
    pub(crate) fn required<R: Reads>(&self, key: &Key<R>) -> Result<R::Out, Noted> {
        self.optional(key)?.ok_or_else(|| self.missing(&[key.name]))
    }

    /// `value`, which is the key's or inside the key's, as `takes` reads it.
    pub(crate) fn read<R: Reads>(&self, key: &str, value: &Value, takes: &R) -> Result<R::Out, Noted> {
        takes.read(value).map_err(|mismatch| self.mismatch(key, mismatch))
    }

    /// Whether the key holds an object.
    pub(crate) fn is_object(&self, key: &str) -> bool {
        self.get(key).is_some_and(|property| matches!(property.value, Value::Object(_)))
    }

    /// The object that the key holds, called `whose`; `None` where the key is not there.
    pub(crate) fn object(&self, key: &str, whose: &str) -> Result<Option<Fields<'d>>, Noted> {
        let Some(property) = self.get(key) else { return Ok(None) };
        self.as_object(key, &property.value, whose.to_string()).map(Some)
    }

    /// The values of the list that the key holds; empty where the key is not there.
    pub(crate) fn elements(&self, key: &str) -> Result<&'d [Value<'d>], Noted> {
        match self.get(key).map(|property| &property.value) {
            None => Ok(&[]),
            Some(Value::Array(array)) => Ok(&array.elements),
            Some(other) => Err(self.mismatch(key, Mismatch::new(other, "a list"))),
        }
    }

    /// The values of the list that the key holds, or the one value that it holds; empty where the key is not there.
    pub(crate) fn one_or_several(&self, key: &str) -> Result<&'d [Value<'d>], Noted> {
        match self.get(key).map(|property| &property.value) {
            None => Ok(&[]),
            Some(Value::Array(array)) if array.elements.is_empty() => {
                Err(self.mismatch_of(key, "a list of at least one element", None))
            }
            Some(Value::Array(array)) => Ok(&array.elements),
            Some(one) => Ok(std::slice::from_ref(one)),
        }
    }

    /// `value`, which is the key's or inside the key's, as an object called `whose`.
    pub(crate) fn as_object(&self, key: &str, value: &'d Value<'d>, whose: String) -> Result<Fields<'d>, Noted> {
        match value {
            Value::Object(object) => {
                Ok(Fields { outer: Some(self.object), ..Fields::new(object, whose, self.problems) })
            }
            other => Err(self.mismatch(key, Mismatch::new(other, "an object"))),
        }
    }

    /// Every key with its value, in order.
    pub(crate) fn entries<R: Reads>(&self, takes: &R) -> Result<Vec<(String, R::Out)>, Noted> {
        let entry = |property: &'d ObjectProp<'d>| {
            let name = property.name.as_str();
            Ok((name.to_string(), self.read(name, &property.value, takes)?))
        };
        // All are read before the first error ends it, so that each is noted.
        self.object.properties.iter().map(entry).collect::<Vec<_>>().into_iter().collect()
    }

    /// Notes that the key's value is not what was expected, with what may have been meant.
    pub(crate) fn mismatch_of(&self, key: &str, expected: &str, nearest: Option<String>) -> Noted {
        match self.get(key) {
            Some(property) => self.mismatch(key, Mismatch { nearest, ..Mismatch::new(&property.value, expected) }),
            None => self.missing(&[key]),
        }
    }

    /// Notes that the key's value, or a part of it, is not what the key wants.
    pub(crate) fn mismatch(&self, key: &str, mismatch: Mismatch) -> Noted {
        let Mismatch { at, expected, nearest } = mismatch;
        let source = self.problems.source(at);
        // A scalar is shown as written; a list, an object or half a page of text would hide the sentence.
        let found = match source.chars().next() {
            Some('{') if source.len() > 2 => "an object".to_string(),
            Some('[') if source.len() > 2 => "a list".to_string(),
            _ if source.chars().count() > LONGEST_SHOWN => {
                format!("{}…", echo(&source.chars().take(LONGEST_SHOWN).collect::<String>()))
            }
            _ => echo(source),
        };
        let whole = self.get(key).is_some_and(|property| property.value.range() == at);
        let verb = if whole { "is" } else { "holds" };
        let near = hint(nearest.as_deref());
        self.problems.note(
            at,
            "this value",
            format!("\"{}\" {verb} {found}, expected {expected}{near}", echo(key)),
            None,
        )
    }
}
