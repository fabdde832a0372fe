//! Repeated blocks: the mark of a dequantiser that does not advance.

use loupe_spec::{HostTensor, Values};

/// Sizes in which quantised formats store weights: 32 values (Q8_0, Q4_0, the sub-blocks of Q4_K) and 256 (Q4_K).
pub const SIZES: [usize; 2] = [32, 256];

/// The longest run of equal consecutive blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Values in a block.
    pub size: usize,
    /// Equal blocks in a row, at least 2.
    pub length: usize,
    /// Index of the first value of the first of them, row-major.
    pub start: usize,
}

/// The longest run of equal consecutive blocks of `size` values, if two in a row are equal anywhere. Blocks of one
/// value throughout are passed over: a row of zeros repeats itself with no one at fault.
pub fn longest_run(tensor: &HostTensor, size: usize) -> Option<Run> {
    match &tensor.values {
        Values::F64(values) => longest(values, size),
        Values::F32(values) => longest(values, size),
        Values::F16(values) => longest(values, size),
        Values::Bf16(values) => longest(values, size),
        Values::I64(values) => longest(values, size),
        Values::U8(values) => longest(values, size),
    }
}

fn longest<T: PartialEq>(values: &[T], size: usize) -> Option<Run> {
    let blocks: Vec<&[T]> = values.chunks_exact(size).collect();
    let mut longest: Option<Run> = None;
    let mut start = 0;
    for at in 1..=blocks.len() {
        // Nearly every block differs from the one before in its first value, and no more of it is looked at.
        let repeats = at < blocks.len() && blocks[at] == blocks[start];
        if repeats && blocks[start].iter().any(|v| *v != blocks[start][0]) {
            continue;
        }
        if at - start > longest.as_ref().map_or(1, |run| run.length) {
            longest = Some(Run { size, length: at - start, start: start * size });
        }
        start = at;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_are_found_and_constant_blocks_passed_over() {
        let block: Vec<f32> = (0..32).map(|i| i as f32).collect();
        let other: Vec<f32> = (0..32).map(|i| i as f32 + 0.5).collect();
        let tensor = |blocks: &[&Vec<f32>]| HostTensor {
            shape: vec![blocks.len(), 32],
            values: Values::F32(blocks.iter().flat_map(|b| b.iter().copied()).collect()),
        };
        assert_eq!(
            longest_run(&tensor(&[&other, &block, &block, &block]), 32).map(|r| (r.length, r.start)),
            Some((3, 32))
        );
        assert_eq!(longest_run(&tensor(&[&other, &block, &other, &block]), 32), None);
        let zeros = vec![0.0; 32];
        assert_eq!(longest_run(&tensor(&[&zeros, &zeros, &block]), 32), None);
    }
}
