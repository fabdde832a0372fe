//! Where in a forward pass a value is computed.

/// The place of a value before the layers, in its layer, or after them. The order of places is the computing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    /// [`BEFORE`], the layer counted from 1, or [`AFTER`].
    part: usize,
    at: usize,
}

const BEFORE: usize = 0;
const AFTER: usize = usize::MAX;

/// The part of `layer`. A name may claim any layer: none is more than the last that fits.
fn part_of(layer: usize) -> usize {
    layer.min(AFTER - 2) + 1
}

impl Place {
    /// Where everything starts.
    pub const FIRST: Place = Place { part: BEFORE, at: 0 };

    /// Of what comes after `last`, in `layer` or outside of all.
    pub fn after(last: Place, layer: Option<usize>) -> Place {
        let part = match layer {
            Some(layer) => part_of(layer),
            None if last.part == BEFORE => BEFORE,
            None => AFTER,
        };
        Place { part, at: if part == last.part { last.at + 1 } else { 0 } }
    }

    /// The layer, if it is in one.
    pub fn layer(self) -> Option<usize> {
        (self.part != BEFORE && self.part != AFTER).then(|| self.part - 1)
    }

    /// The same in layer `layer`.
    pub fn of_layer(self, layer: usize) -> Place {
        Place { part: self.layer().map_or(self.part, |_| part_of(layer)), ..self }
    }
}
