//! Repeated blocks: the mark of a dequantiser that does not advance.

use loupe_spec::HostTensor;

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
    let values = tensor.values.to_f64();
    let blocks: Vec<&[f64]> = values.chunks_exact(size).collect();
    let mut longest: Option<Run> = None;
    let mut start = 0;
    for at in 1..=blocks.len() {
        let varied = blocks.get(start).is_some_and(|block| block.iter().any(|v| v != &block[0]));
        if at < blocks.len() && varied && blocks[at] == blocks[start] {
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
    use loupe_spec::Values;

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
