//! An entry of a config's "names": what a candidate calls a probe point.

use crate::{Probe, UnknownProbe};

/// A candidate's own name for a probe point, or a pattern of such names.
///
/// | own name | target | maps |
/// |---|---|---|
/// | `h3` | `layers.3.output` | that name alone |
/// | `l_out-{l}` | `layers.{l}.output` | every layer's |
/// | `model.*` | `*` | each name that so begins, to what its rest means |
/// | `states` | `hidden_states` | what transformers calls so: all hidden states, one after the other |
/// | `state-{l}` | `hidden_states.{l}` | one of them; `attentions.{l}` likewise |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    own: String,
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Probe(Probe),
    /// The same of the layer that `{l}` stands for in the own name.
    InLayer(Probe),
    /// A name that is looked up in its place: text around what `*` stands for, or one of transformers' outputs.
    Renamed(String),
}

/// What a name means by an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A probe point.
    Probe(Probe),
    /// Another name, which is looked up in its place.
    Renamed(String),
}

/// Why an entry is none.
#[derive(Debug, thiserror::Error)]
pub enum NameEntryError {
    /// The target is no probe point.
    #[error(transparent)]
    Unknown(#[from] UnknownProbe),
    /// One side has a place that the other has not.
    #[error(
        "\"{place}\" stands on one side alone, expected it on both, once; a stack of all hidden states is \"hidden_states\""
    )]
    OneSided {
        /// `{l}` or `*`
        place: &'static str,
    },
}

/// Stands for a layer's number.
const LAYER: &str = "{l}";
/// Stands for any text.
const ANY: &str = "*";
/// What transformers returns beside logits: no probe points, and names of several.
const OUTPUTS: [&str; 2] = ["hidden_states", "attentions"];

impl NameEntry {
    /// The entry `"own": "target"`.
    ///
    /// # Errors
    /// The target is no probe point, or `{l}` or `*` does not stand once on both sides.
    pub fn new(own: &str, target: &str) -> Result<NameEntry, NameEntryError> {
        for place in [LAYER, ANY] {
            let (ours, theirs) = (own.matches(place).count(), target.matches(place).count());
            if ours != theirs || ours > 1 {
                return Err(NameEntryError::OneSided { place });
            }
        }
        let of_transformers = OUTPUTS
            .iter()
            .any(|output| target.strip_prefix(output).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        let target = if target.contains(ANY) || of_transformers {
            Target::Renamed(target.to_string())
        } else if target.contains(LAYER) {
            // Layer 0 stands for all.
            let first = |unknown: UnknownProbe| UnknownProbe {
                name: target.to_string(),
                nearest: unknown.nearest.map(|near| near.replacen("layers.0.", "layers.{l}.", 1)),
            };
            Target::InLayer(target.replace(LAYER, "0").parse().map_err(first)?)
        } else {
            Target::Probe(target.parse()?)
        };
        Ok(NameEntry { own: own.to_string(), target })
    }

    /// The own name or pattern, as written.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// What it maps them to, as written.
    pub fn target(&self) -> String {
        match &self.target {
            Target::Probe(probe) => probe.to_string(),
            Target::InLayer(stage) => stage.pattern(),
            Target::Renamed(target) => target.clone(),
        }
    }

    /// The one probe point that it maps, if it maps one alone.
    pub fn probe(&self) -> Option<Probe> {
        match self.target {
            Target::Probe(probe) => Some(probe),
            _ => None,
        }
    }

    /// What `name` means by this entry; `None` where it is not about that name.
    pub fn of(&self, name: &str) -> Option<Named> {
        match &self.target {
            Target::Probe(probe) => (name == self.own).then_some(Named::Probe(*probe)),
            Target::InLayer(stage) => {
                let layer = digits(&self.own, name)?.parse().ok()?;
                Some(Named::Probe(stage.of_layer(layer)))
            }
            Target::Renamed(target) if !self.own.contains(ANY) => {
                let layer = if self.own.contains(LAYER) { digits(&self.own, name)? } else { "" };
                let is_it = self.own.replacen(LAYER, layer, 1) == name;
                is_it.then(|| Named::Renamed(target.replacen(LAYER, layer, 1)))
            }
            Target::Renamed(target) => {
                let (before, after) = self.own.split_once(LAYER).unwrap_or((&self.own, ""));
                if after.is_empty() && !self.own.contains(LAYER) {
                    return Some(Named::Renamed(target.replacen(ANY, inner(before, ANY, name)?, 1)));
                }
                renamed_with_layer(before, after, target, name).map(Named::Renamed)
            }
        }
    }
}

/// The digits that stand in `name` where `{l}` stands in `pattern`.
fn digits<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    inner(pattern, LAYER, name).filter(|layer| layer.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What stands in `name` where `place` stands in `pattern`.
fn inner<'n>(pattern: &str, place: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = pattern.split_once(place)?;
    name.strip_prefix(before)?.strip_suffix(after).filter(|inner| !inner.is_empty())
}

/// `target` with what `{l}` and `*` stand for in `name`, which is `before`, digits, `after`; one of the two has the `*`.
fn renamed_with_layer(before: &str, after: &str, target: &str, name: &str) -> Option<String> {
    // Each run of digits may be the layer: the first that fits is.
    let mut from = 0;
    while let Some(start) = name.get(from..)?.find(|c: char| c.is_ascii_digit()).map(|at| at + from) {
        let end = name[start..].find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |length| start + length);
        let (left, layer, right) = (&name[..start], &name[start..end], &name[end..]);
        let any = match before.contains(ANY) {
            true => inner(before, ANY, left).filter(|_| right == after),
            false => inner(after, ANY, right).filter(|_| left == before),
        };
        if let Some(any) = any {
            return Some(target.replacen(LAYER, layer, 1).replacen(ANY, any, 1));
        }
        from = end;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(own: &str, target: &str, name: &str) -> Option<Named> {
        NameEntry::new(own, target).unwrap().of(name)
    }

    #[test]
    fn a_name_a_layer_and_any_text_are_mapped() {
        let output = |layer| Probe::of(Some(layer), "output").map(Named::Probe);
        assert_eq!(of("h3", "layers.3.output", "h3"), output(3));
        assert_eq!(of("h3", "layers.3.output", "h4"), None);
        assert_eq!(of("l_out-{l}", "layers.{l}.output", "l_out-12"), output(12));
        for name in ["l_out-", "l_out-x", "l_out-1x", "xl_out-1", "l_out-+1", "l_out-99999999999999999999"] {
            assert_eq!(of("l_out-{l}", "layers.{l}.output", name), None, "{name}");
        }
        let renamed = |name: &str| Some(Named::Renamed(name.to_string()));
        assert_eq!(of("model.*", "*", "model.norm"), renamed("norm"));
        assert_eq!(of("model.*", "*", "norm"), None);
        assert_eq!(of("b{l}/*", "layers.{l}.*", "b10/mlp.act"), renamed("layers.10.mlp.act"));
        assert_eq!(of("*@{l}", "layers.{l}.*", "a2@7"), renamed("layers.7.a2"));
        assert_eq!(of("*@{l}", "layers.{l}.*", "@7"), None);
        assert_eq!(of("states", "hidden_states", "states"), renamed("hidden_states"));
        assert_eq!(of("states", "hidden_states", "state"), None);
        assert_eq!(of("s{l}", "hidden_states.{l}", "s12"), renamed("hidden_states.12"));
        assert_eq!(of("s{l}", "hidden_states.{l}", "sx"), None);
    }

    #[test]
    fn a_place_on_one_side_and_an_unknown_target_are_refused() {
        for (own, target) in [("a", "layers.{l}.output"), ("a{l}", "norm"), ("a*", "norm"), ("a", "*"), ("**", "**")] {
            let error = NameEntry::new(own, target).unwrap_err();
            assert!(matches!(error, NameEntryError::OneSided { .. }), "{own}: {error}");
        }
        let error = NameEntry::new("a{l}", "layers.{l}.otput").unwrap_err().to_string();
        assert!(error.contains("layers.{l}.output"), "{error}");
    }
}
