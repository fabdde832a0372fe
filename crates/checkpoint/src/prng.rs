//! Numbers for made-up weights: the same on every platform, because only integers and single IEEE operations make them.

use half::bf16;
use rayon::prelude::*;

/// SplitMix64 (Steele, Lea and Flood, 2014; the constants are those of `java.util.SplittableRandom`).
struct SplitMix64(u64);

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN_GAMMA);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A bell-shaped number of mean 0 and standard deviation 1, within ±3.47: the sum of four uniform ones.
    ///
    /// No Box-Muller: logarithms and sines differ in their last bit between platforms.
    fn bell(&mut self) -> f32 {
        let word = self.next();
        let lane = |at: u32| ((word >> at) & 0xffff) as i32;
        // Four 16-bit integers of mean 32767.5 and variance (2^32 - 1) / 12: the sum, centred, has a standard deviation
        // of 2^16 / sqrt(3). Every integer here is below 2^24, so the cast is exact.
        let sum = lane(0) + lane(16) + lane(32) + lane(48) - 131_070;
        const STD: f32 = 37_837.227;
        sum as f32 / STD
    }
}

/// Elements that one seed makes.
const BLOCK: usize = 1 << 14;

/// Fills `out` with bell-shaped numbers of standard deviation `std`, little-endian bf16.
///
/// `first` is the position of `out`'s first element in its tensor, a multiple of [`BLOCK`]: each block has a seed of
/// its own, so neither the number of threads nor the size of `out` changes a value.
pub(crate) fn fill_bf16(out: &mut [u8], std: f32, seed: u64, first: usize) {
    out.par_chunks_mut(BLOCK * 2).enumerate().for_each(|(block, out)| {
        let mut random = SplitMix64(stream(seed, (first / BLOCK + block) as u64));
        for element in out.as_chunks_mut().0 {
            *element = bf16::from_f32(random.bell() * std).to_le_bytes();
        }
    });
}

/// A seed for part `index` of what `seed` makes. One step of the generator, so that neighbours have nothing in common.
pub(crate) fn stream(seed: u64, index: u64) -> u64 {
    SplitMix64(seed ^ index.wrapping_mul(0xd1b5_4a32_d192_ed03)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_agrees_with_its_published_sequence() {
        let mut random = SplitMix64(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

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
