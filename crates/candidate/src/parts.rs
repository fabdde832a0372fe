//! One tensor that holds several.

use loupe_spec::{Graph, HostTensor, Probe};

/// The parts of a tensor along its first axis that has any length.
pub fn stacked(tensor: &HostTensor) -> Vec<HostTensor> {
    let axis = tensor.shape.iter().position(|length| *length != 1).unwrap_or(0);
    let count = tensor.shape.get(axis).copied().unwrap_or(0);
    let shape = tensor.shape[(axis + 1).min(tensor.shape.len())..].to_vec();
    let size: usize = shape.iter().product();
    let part = |at: usize| {
        let places: Vec<usize> = (at * size..(at + 1) * size).collect();
        HostTensor { shape: shape.clone(), values: tensor.values.picked(&places) }
    };
    (0..count).map(part).collect()
}

/// The parts of a tensor that holds several probe points side by side; `None`: its last axis is not as long as theirs together.
pub fn split(tensor: &HostTensor, probes: &[Probe], graph: &Graph, tokens: usize) -> Option<Vec<HostTensor>> {
    let widths: Vec<usize> = probes.iter().map(|probe| graph.shape(*probe, tokens).iter().skip(1).product()).collect();
    let whole: usize = widths.iter().sum();
    if tensor.shape.last() != Some(&whole) {
        return None;
    }
    let count = tensor.values.len() / whole;
    let part = |from: usize, width: usize| {
        let all: Vec<usize> =
            (0..count).flat_map(|row| (0..width).map(move |lane| row * whole + from + lane)).collect();
        HostTensor { shape: vec![count, width], values: tensor.values.picked(&all) }
    };
    let mut from = 0;
    let parts = widths.iter().map(|width| {
        let part = part(from, *width);
        from += width;
        part
    });
    Some(parts.collect())
}
