//! Numbers that look random and are the same on every platform: made-up weights, simulated noise, benchmarks.

/// SplitMix64 (Steele, Lea and Flood, 2014; the constants are those of `java.util.SplittableRandom`).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A sequence of its own for every `text`: seeded with its FNV-1a hash.
    pub fn of(text: &str) -> Random {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random(text.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// 64 bits, each value as likely as any other.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 * 2f64.powi(-53)
    }

    /// Mean 0, variance 1: twelve uniforms, near enough to a normal for a spread.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_agrees_with_its_published_sequence() {
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.word()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_hash_of_a_text_agrees_with_its_published_value() {
        assert_eq!(Random::of("a").0, 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let mut random = Random::new(3);
        let values: Vec<f64> = (0..10_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
        // Four standard errors of each: 1 / sqrt(n), sqrt(2 / n).
        assert!(mean.abs() < 0.04 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
    }
}
