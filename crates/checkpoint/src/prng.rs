//! Numbers for made-up weights: the same on every platform, because only integers and single IEEE operations make them.

use half::bf16;
use loupe_spec::Random;
use rayon::prelude::*;

/// A bell-shaped number of mean 0 and standard deviation 1, within ±3.47: the sum of four uniform ones.
///
/// No Box-Muller: logarithms and sines differ in their last bit between platforms.
fn bell(random: &mut Random) -> f32 {
    let word = random.word();
    let lane = |at: u32| ((word >> at) & 0xffff) as i32;
    // Four 16-bit integers of mean 32767.5 and variance (2^32 - 1) / 12: the sum, centred, has a standard deviation
    // of 2^16 / sqrt(3). Every integer here is below 2^24, so the cast is exact.
    let sum = lane(0) + lane(16) + lane(32) + lane(48) - 131_070;
    const STD: f32 = 37_837.227;
    sum as f32 / STD
}

/// Elements that one seed makes.
const BLOCK: usize = 1 << 14;

/// Fills `out` with bell-shaped numbers of standard deviation `std`, little-endian bf16.
///
/// `first` is the position of `out`'s first element in its tensor, a multiple of [`BLOCK`]: each block has a seed of
/// its own, so neither the number of threads nor the size of `out` changes a value.
pub(crate) fn fill_bf16(out: &mut [u8], std: f32, seed: u64, first: usize) {
    out.par_chunks_mut(BLOCK * 2).enumerate().for_each(|(block, out)| {
        let mut random = Random::new(stream(seed, (first / BLOCK + block) as u64));
        for element in out.as_chunks_mut().0 {
            *element = bf16::from_f32(bell(&mut random) * std).to_le_bytes();
        }
    });
}

/// A seed for part `index` of what `seed` makes. One step of the generator, so that neighbours have nothing in common.
pub(crate) fn stream(seed: u64, index: u64) -> u64 {
    Random::new(seed ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03)).word()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_mean_and_deviation_it_says_and_no_seam_between_calls() {
        let mut all = vec![0; 6 * BLOCK];
        fill_bf16(&mut all, 0.5, 7, 0);
        let values: Vec<f64> = all.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f64()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.01 && (variance.sqrt() - 0.5).abs() < 0.01, "{mean} {variance}");

        let mut later = vec![0; 4 * BLOCK];
        fill_bf16(&mut later, 0.5, 7, BLOCK);
        assert_eq!(later, all.split_off(2 * BLOCK));
    }
}
