//! From which number the names of a dump count layers: config.json's first layer is 0.

use std::collections::BTreeSet;

use loupe_spec::Probe;

/// What the number in a name means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// The layer.
    #[default]
    FromZero,
    /// The layer after it: the first is 1.
    FromOne,
    /// Of outputs, the states: 0 is what enters the first layer, as in transformers' `hidden_states`.
    States,
}

impl Counting {
    /// How the layers of what is `named` are counted, of a model of so many `layers`: the last number says it.
    pub fn of(named: &BTreeSet<Probe>, layers: usize) -> Counting {
        let numbers = named.first().zip(named.last()).and_then(|(first, last)| first.layer().zip(last.layer()));
        let Some((first, last)) = numbers else { return Counting::FromZero };
        let is_output = |probe: &Probe| probe.path() == "output";
        let of = |number: usize| named.iter().filter(move |probe| probe.layer() == Some(number));
        match (first, last == layers) {
            (0, true) if of(layers).all(is_output) && of(0).any(is_output) => Counting::States,
            (1.., true) => Counting::FromOne,
            _ => Counting::FromZero,
        }
    }

    /// The probe that a name of `probe` by its number is; `None`: of no layer.
    pub fn counted(self, probe: Probe) -> Option<Probe> {
        match (self, probe.layer()) {
            (Counting::FromOne, Some(number)) => Some(probe.of_layer(number.checked_sub(1)?)),
            _ => Some(probe),
        }
    }

    /// What there is to say of it.
    pub fn remark(self) -> Option<&'static str> {
        match self {
            Counting::FromZero => None,
            Counting::FromOne => {
                Some("its names count layers from 1, Gemma's config.json from 0: its layer 1 is read as layer 0")
            }
            Counting::States => Some(
                "its layers are one more than the model has: read as transformers' hidden_states, 0 as what enters the first \
                 layer (embed.scaled)",
            ),
        }
    }
}
