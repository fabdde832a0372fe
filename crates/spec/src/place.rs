//! Where in a forward pass a value is computed.

/// The place of a value among those before the layers, in its layer, or after them: their order is the computing order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    Before(usize),
    /// The layer, and the place in it.
    Layer(usize, usize),
    After(usize),
}

impl Place {
    /// Of what comes after `last`, in `layer` or outside of all.
    pub fn next(layer: Option<usize>, last: Option<Place>) -> Place {
        match (layer, last) {
            (Some(layer), Some(Place::Layer(own, at))) if own == layer => Place::Layer(layer, at + 1),
            (Some(layer), _) => Place::Layer(layer, 0),
            (None, None) => Place::Before(0),
            (None, Some(Place::Before(at))) => Place::Before(at + 1),
            (None, Some(Place::Layer(..))) => Place::After(0),
            (None, Some(Place::After(at))) => Place::After(at + 1),
        }
    }
}
