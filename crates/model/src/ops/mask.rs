//! Who may attend to whom.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, TensorData};
use loupe_tensor::Tensor;

/// [T, S] row-major: `true` where the query may attend to the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// T
    pub queries: usize,
    /// S
    pub keys: usize,
    /// `queries * keys` entries
    pub visible: Vec<bool>,
}

impl Mask {
    /// A mask from a rule over (query position i, key position j).
    pub fn from_rule(positions: &[usize], rule: impl Fn(usize, usize) -> bool) -> Mask {
        let visible = positions.iter().flat_map(|i| positions.iter().map(|j| rule(*i, *j))).collect();
        Mask { queries: positions.len(), keys: positions.len(), visible }
    }

    /// Causal, and where the layer slides only the last `window` keys, the query's own included:
    /// `j <= i` and `i - j < window`.
    ///
    /// Source: transformers `create_causal_mask`, `create_sliding_window_causal_mask`.
    pub fn causal(positions: &[usize], window: Option<usize>) -> Mask {
        Mask::from_rule(positions, |i, j| j <= i && window.is_none_or(|window| i - j < window))
    }

    /// [1, T, S]: 0 where visible, `hidden` where not, to be added to scores.
    pub fn bias<B: Backend>(&self, hidden: f64, dtype: DType, device: &B::Device) -> Tensor<B, 3> {
        let bias: Vec<f32> = self.visible.iter().map(|seen| if *seen { 0.0 } else { hidden as f32 }).collect();
        let data = TensorData::new(bias, [1, self.queries, self.keys]);
        Tensor::<B, 3>::from_data(data, device, DType::F32).cast(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn row_i_sees_itself_and_the_window_minus_one_keys_before_it() {
        let mask = Mask::causal(&[0, 1, 2, 3], Some(2));
        let rows: Vec<Vec<bool>> = mask.visible.chunks(4).map(<[bool]>::to_vec).collect();
        assert_eq!(rows[0], [true, false, false, false]);
        assert_eq!(rows[1], [true, true, false, false]);
        assert_eq!(rows[3], [false, false, true, true]);
        assert_eq!(Mask::causal(&[5, 6], None).visible, [true, false, true, true]);
    }
}
