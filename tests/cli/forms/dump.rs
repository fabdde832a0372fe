//! A run's tensors, renamed and laid out as others do.

use std::collections::BTreeMap;

use loupe_spec::{HostTensor, Values};

/// Of the checkpoint that the run is of.
pub const LAYERS: usize = 3;

/// Tensors by name.
#[derive(Clone)]
pub struct Dump(pub BTreeMap<String, HostTensor>);

impl Dump {
    /// Under the names that `names` gives, pairs of ours and another's with `{l}` for a layer; nothing else is kept.
    pub fn called(mut self, names: &[(&str, &str)]) -> Dump {
        let mut renamed = BTreeMap::new();
        for (ours, theirs) in names {
            for layer in 0..LAYERS {
                let layer = layer.to_string();
                if let Some(tensor) = self.0.remove(&ours.replace("{l}", &layer)) {
                    renamed.insert(theirs.replace("{l}", &layer), tensor);
                }
            }
        }
        Dump(renamed)
    }

    pub fn keep(mut self, keep: impl Fn(&str) -> bool) -> Dump {
        self.0.retain(|name, _| keep(name));
        self
    }

    /// Each tensor whose name `picked` picks, passed through `f`.
    pub fn each(mut self, picked: impl Fn(&str) -> bool, f: impl Fn(&HostTensor) -> HostTensor) -> Dump {
        for (_, tensor) in self.0.iter_mut().filter(|(name, _)| picked(name)) {
            *tensor = f(tensor);
        }
        self
    }
}

pub fn of(shape: Vec<usize>, values: Vec<f64>) -> HostTensor {
    HostTensor { shape, values: Values::F64(values).to_dtype(loupe_spec::Dtype::F32) }
}

pub fn reshaped(tensor: &HostTensor, shape: &[usize]) -> HostTensor {
    HostTensor { shape: shape.to_vec(), values: tensor.values.clone() }
}

/// Its axes in another order.
pub fn turned(tensor: &HostTensor, order: &[usize]) -> HostTensor {
    let shape: Vec<usize> = order.iter().map(|axis| tensor.shape[*axis]).collect();
    let stride = |axis: usize| tensor.shape[axis + 1..].iter().product::<usize>();
    let mut places = vec![0];
    for axis in order {
        let step = stride(*axis);
        places = places.iter().flat_map(|place| (0..tensor.shape[*axis]).map(move |at| place + at * step)).collect();
    }
    HostTensor { shape, values: tensor.values.picked(&places) }
}

/// Heads flattened, and a batch axis.
pub fn flat(tensor: &HostTensor) -> HostTensor {
    reshaped(tensor, &[1, tensor.shape[0], tensor.shape[1..].iter().product()])
}

pub fn is_headed(name: &str) -> bool {
    ["q_proj", "k_proj", "v_proj", "q_rope", "k_rope", "context"].iter().any(|end| name.ends_with(end))
}

/// The row of token `row` alone.
pub fn one_row(name: &str, tensor: &HostTensor, row: usize) -> HostTensor {
    let [a, b] = [tensor.shape[0], tensor.shape[1]];
    if tensor.shape.len() == 3 && !is_headed(name) {
        let keys = tensor.shape[2];
        let places: Vec<usize> =
            (0..a).flat_map(|head| (0..keys).map(move |key| (head * b + row) * keys + key)).collect();
        return HostTensor { shape: vec![a, keys], values: tensor.values.picked(&places) };
    }
    let width: usize = tensor.shape[1..].iter().product();
    let places: Vec<usize> = (row * width..(row + 1) * width).collect();
    HostTensor { shape: vec![width], values: tensor.values.picked(&places) }
}
