//! From which number the names of a dump count layers: config.json's first layer is 0.

use std::collections::BTreeSet;

use loupe_spec::{Probe, Stage};

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
    /// How the stages `named` are counted, of a model of so many `layers`: the last number says it.
    pub fn of(named: &BTreeSet<(usize, Stage)>, layers: usize) -> Counting {
        let (Some((first, _)), Some((last, _))) = (named.first(), named.last()) else { return Counting::FromZero };
        let outputs_alone =
            |number: usize| named.iter().filter(|(own, _)| *own == number).all(|(_, stage)| *stage == Stage::Output);
        match (first, *last == layers) {
            (0, true) if outputs_alone(layers) && named.contains(&(0, Stage::Output)) => Counting::States,
            (1.., true) => Counting::FromOne,
            _ => Counting::FromZero,
        }
    }

    /// The probe that a name of `probe` by its number is; `None`: of no layer.
    pub fn counted(self, probe: Probe) -> Option<Probe> {
        match (self, probe) {
            (Counting::FromOne, Probe::Layer(number, stage)) => Some(Probe::Layer(number.checked_sub(1)?, stage)),
            (_, probe) => Some(probe),
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
