//! How an engine may compute: what it keeps, how it sums, whose exp and tanh it calls, how its weights were stored.
//! None of it is a mistake, and none of it is the judge's code.

use loupe_spec::Dtype;

/// Values of a block of GGUF's quantised types.
const BLOCK: usize = 32;

/// One way to compute Gemma 2 right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kernels {
    /// What every recorded stage is rounded to.
    pub storage: Dtype,
    /// Whether the operands of matrix products are rounded to TF32.
    pub tf32: bool,
    pub sum: Sum,
    /// Units in the last place by which tanh may be off.
    pub tanh_ulps: i32,
    /// The same of sin and cos.
    pub sin_cos_ulps: i32,
    /// exp as GPUs have it: a power of two, its argument multiplied by log2(e) in f32.
    pub fast_exp: bool,
    pub weights: Weights,
}

/// The order in which a product is summed, and what in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    Forward,
    Backward,
    /// So many partial sums, as SIMD has them.
    Lanes(usize),
    /// Halves, their halves, …
    Pairwise,
    /// In f64, rounded once.
    F64,
    /// Chunks of so many terms in f32, each added to a sum in f16.
    F16(usize),
}

/// What the checkpoint's weights went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    AsTheyAre,
    Rounded(Dtype),
    /// 8 bits a value, an f16 scale for each 32.
    Q8_0,
    /// 4 bits a value, a 6-bit scale and a 6-bit minimum for each 32, two f16 scales of those for each 256.
    Q4K,
}

/// f32 throughout.
pub const PLAIN: Kernels = Kernels {
    storage: Dtype::F32,
    tf32: false,
    sum: Sum::Lanes(8),
    tanh_ulps: 0,
    sin_cos_ulps: 0,
    fast_exp: false,
    weights: Weights::AsTheyAre,
};

impl Kernels {
    /// `x` as it is kept.
    pub fn kept(&self, x: f32) -> f32 {
        round(x, self.storage)
    }
}

impl loupe_oracle::Kernels<f32> for Kernels {
    fn store(&self, x: f32) -> f32 {
        self.kept(x)
    }

    fn dot(&self, a: impl Iterator<Item = f32>, b: impl Iterator<Item = f32>) -> f32 {
        let operand = |x: f32| if self.tf32 { tf32(x) } else { x };
        let terms: Vec<(f32, f32)> = a.zip(b).map(|(a, b)| (operand(a), operand(b))).collect();
        let product = |(a, b): &(f32, f32)| a * b;
        match self.sum {
            Sum::Forward => terms.iter().map(product).sum(),
            Sum::Backward => terms.iter().rev().map(product).sum(),
            Sum::Lanes(lanes) => {
                (0..lanes).map(|lane| terms.iter().skip(lane).step_by(lanes).map(product).sum::<f32>()).sum()
            }
            Sum::Pairwise => pairwise(&terms.iter().map(product).collect::<Vec<f32>>()),
            Sum::F64 => terms.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32,
            Sum::F16(chunk) => terms
                .chunks(chunk)
                .fold(0.0, |sum, chunk| round(sum + chunk.iter().map(product).sum::<f32>(), Dtype::F16)),
        }
    }

    fn tanh(&self, x: f32) -> f32 {
        off(x, x.tanh(), self.tanh_ulps).clamp(-1.0, 1.0)
    }

    fn sin_cos(&self, x: f32) -> (f32, f32) {
        let (sin, cos) = x.sin_cos();
        (off(x, sin, self.sin_cos_ulps), off(-x, cos, self.sin_cos_ulps))
    }

    fn exp(&self, x: f32) -> f32 {
        if self.fast_exp { (x * std::f32::consts::LOG2_E).exp2() } else { x.exp() }
    }
}

impl Weights {
    /// `values`, in rows of `columns`, as they are after storage; `matrix`: not a norm's vector, which GGUF keeps in f32.
    pub fn of(self, values: &[f32], columns: usize, matrix: bool) -> Vec<f32> {
        let rows = |quantise: fn(&[f32]) -> Vec<f32>| values.chunks(columns).flat_map(quantise).collect();
        match self {
            Weights::Rounded(dtype) => values.iter().map(|x| round(*x, dtype)).collect(),
            Weights::Q8_0 if matrix => rows(q8_0),
            Weights::Q4K if matrix => rows(q4_k),
            _ => values.to_vec(),
        }
    }
}

/// `exact` off by at most `ulps` units in the last place: the same error for the same argument, as a library has it.
fn off(argument: f32, exact: f32, ulps: i32) -> f32 {
    // cos(0) is 1 in every library.
    if ulps == 0 || argument == 0.0 || exact == 0.0 {
        return exact;
    }
    let by = (argument.to_bits().wrapping_mul(0x9e37_79b9) >> 16) as i32 % (2 * ulps + 1) - ulps;
    f32::from_bits(exact.to_bits().saturating_add_signed(by))
}

/// `x` rounded to `dtype`, to nearest, ties to even.
pub fn round(x: f32, dtype: Dtype) -> f32 {
    dtype.round(f64::from(x)) as f32
}

/// 10 bits of significand behind the first, to nearest, ties away from zero.
fn tf32(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(1 << 12) & !((1 << 13) - 1))
}

fn pairwise(terms: &[f32]) -> f32 {
    match terms {
        [] => 0.0,
        [one] => *one,
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            pairwise(left) + pairwise(right)
        }
    }
}

fn q8_0(row: &[f32]) -> Vec<f32> {
    let block = |block: &[f32]| {
        let scale = block.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0;
        let stored = round(scale, Dtype::F16);
        block.iter().map(|x| if scale == 0.0 { 0.0 } else { (x / scale).round() * stored }).collect::<Vec<f32>>()
    };
    row.chunks(BLOCK).flat_map(block).collect()
}

/// value = scale * q - minimum, q from 0 to 15. Rows of the tiny checkpoints are shorter than 256: the last block and the
/// last group of blocks may be short.
fn q4_k(row: &[f32]) -> Vec<f32> {
    let group = |group: &[f32]| {
        let fit = |block: &[f32]| {
            let least = block.iter().fold(0.0, |least: f32, x| least.min(*x));
            let most = block.iter().fold(least, |most: f32, x| most.max(*x));
            ((most - least) / 15.0, -least)
        };
        let fits: Vec<(f32, f32)> = group.chunks(BLOCK).map(fit).collect();
        let unit = |of: fn(&(f32, f32)) -> f32| {
            round(fits.iter().map(of).fold(0.0, f32::max) / 63.0, Dtype::F16).max(f32::MIN_POSITIVE)
        };
        let (scale_unit, least_unit) = (unit(|fit| fit.0), unit(|fit| fit.1));
        let mut values = Vec::with_capacity(group.len());
        for (block, (scale, least)) in group.chunks(BLOCK).zip(&fits) {
            let scale = (scale / scale_unit).round().min(63.0) * scale_unit;
            let least = (least / least_unit).round().min(63.0) * least_unit;
            let q = |x: &f32| if scale == 0.0 { 0.0 } else { ((x + least) / scale).round().clamp(0.0, 15.0) };
            values.extend(block.iter().map(|x| scale * q(x) - least));
        }
        values
    };
    row.chunks(8 * BLOCK).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use loupe_oracle::Kernels as _;

    use super::*;

    fn row() -> Vec<f32> {
        (0..60).map(|at| (at as f32 * 0.37).sin() * 0.1).collect()
    }

    /// Largest difference over largest value.
    fn relative(a: &[f32], b: &[f32]) -> f32 {
        let most = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0, |most: f32, x| most.max(x.abs()));
        most(&mut a.iter().zip(b).map(|(a, b)| a - b)) / most(&mut b.iter().copied())
    }

    #[test]
    fn quantised_weights_are_off_by_half_a_step() {
        let row = row();
        assert!(relative(&Weights::Q8_0.of(&row, 60, true), &row) < 0.6 / 127.0);
        let q4 = relative(&Weights::Q4K.of(&row, 60, true), &row);
        assert!(q4 < 2.0 * 1.2 / 15.0 && q4 > 0.2 / 15.0, "{q4}");
        assert_eq!(Weights::Q4K.of(&row, 60, false), row);
    }

    #[test]
    fn every_order_sums_to_the_same_within_its_precision() {
        let (a, exact_sum) = (row(), Kernels { sum: Sum::F64, ..PLAIN });
        let exact = exact_sum.dot(a.iter().copied(), a.iter().copied());
        for (sum, limit) in [
            (Sum::Forward, 1e-6),
            (Sum::Backward, 1e-6),
            (Sum::Lanes(4), 1e-6),
            (Sum::Pairwise, 1e-6),
            (Sum::F16(1), 1e-2),
            (Sum::F16(16), 3e-3),
        ] {
            let got = Kernels { sum, ..exact_sum }.dot(a.iter().copied(), a.iter().copied());
            assert!((got / exact - 1.0).abs() < limit, "{sum:?}: {got} for {exact}");
        }
        let got = Kernels { tf32: true, ..exact_sum }.dot(a.iter().copied(), a.iter().copied());
        assert!(got != exact && (got / exact - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_rough_library_is_a_few_units_off() {
        let rough = Kernels { tanh_ulps: 3, sin_cos_ulps: 3, fast_exp: true, ..PLAIN };
        let (mut moved, mut most) = ([0; 3], [0; 3]);
        for at in 1..200 {
            let x = at as f32 * 0.02;
            let ((sin, cos), (rough_sin, rough_cos)) = (x.sin_cos(), rough.sin_cos(x));
            let pairs = [(rough.tanh(x), x.tanh()), (rough_sin, sin), (rough_cos, cos)];
            for (function, (rough, exact)) in pairs.into_iter().enumerate() {
                let by = rough.to_bits().abs_diff(exact.to_bits());
                moved[function] += u32::from(by > 0);
                most[function] = by.max(most[function]);
            }
            assert!((rough.exp(-x) / (-x).exp() - 1.0).abs() < 1e-6);
        }
        assert!(moved.iter().all(|moved| *moved > 100) && most == [3; 3], "{moved:?} moved, by {most:?} at most");
    }
}
