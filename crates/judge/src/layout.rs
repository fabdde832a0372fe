//! Where the tokens are in a tensor.

use loupe_spec::Probe;

/// Which element belongs to which token.
#[derive(Clone, Debug)]
pub struct Layout {
    /// T
    pub tokens: usize,
    /// All of them.
    pub elements: usize,
    width: usize,
}

impl Layout {
    /// Of a full tensor of `probe` with `shape`.
    pub fn of(probe: Probe, shape: &[usize]) -> Layout {
        let axis = probe.token_axis();
        Layout {
            tokens: shape.get(axis).copied().unwrap_or(1),
            elements: shape.iter().product(),
            width: shape.iter().skip(axis + 1).product::<usize>().max(1),
        }
    }

    /// The token of element `at`. What stands after the elements, the statistics, is each a row of its own.
    pub fn row(&self, at: usize) -> usize {
        match at.checked_sub(self.elements) {
            Some(statistic) => self.tokens + statistic,
            None => (at / self.width) % self.tokens.max(1),
        }
    }

    /// The place of element `at` among those of its token: all other axes, one after the other.
    pub fn lane(&self, at: usize) -> usize {
        at / (self.width * self.tokens.max(1)) * self.width + at % self.width
    }

    /// How many elements each token has.
    pub fn lanes(&self) -> usize {
        self.elements / self.tokens.max(1)
    }

    /// Mean over each token's elements.
    pub fn row_means(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0usize); self.tokens];
        for (at, value) in values.iter().enumerate() {
            let (sum, count) = &mut sums[self.row(at)];
            *sum += value;
            *count += 1;
        }
        sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect()
    }
}
