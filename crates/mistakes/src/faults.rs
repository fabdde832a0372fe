//! Broken data and broken kernels: what a right program computes when what runs it is wrong.

use burn::tensor::backend::Backend;
use loupe_model::{Operations, ops};
use loupe_spec::Config;
use loupe_tensor::Tensor;

use crate::lookup::is_projection;
use crate::{Formula, Mistake, MistakeKind, Plant, right};

/// The first 32 values of each row of a matrix are repeated along the row: a dequantiser that does not advance.
pub(crate) struct Q4kRepeatedBlock;

impl Plant for Q4kRepeatedBlock {
    const ABOUT: Mistake = Mistake {
        id: "q4k_repeated_block",
        variant: None,
        kind: MistakeKind::Architectural,
        what: "The first 32 values of each row of a matrix are repeated along the row: a dequantiser that does not advance.",
        seen_in: "no public port known",
        formula: Formula {
            right: "W[row][j] = dequantise(blocks[row][j // 32])[j % 32]",
            wrong: "W[row][j] = dequantise(blocks[row][0])[j % 32]",
        },
        right: right!("crates/model/src/evaluate.rs", "let matrix: Tensor<B, 2> = next(reads)?;"),
        hidden_when: "rows are shorter than two blocks",
        at: is_projection,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.linear = |x, weight, _, p| {
            let [_out, inner] = weight.dims();
            let block = weight.clone().narrow(1, 0, inner.min(32));
            let repeated = Tensor::cat(vec![block; inner.div_ceil(32)], 1).narrow(1, 0, inner);
            ops::linear::linear(x, repeated, p)
        };
    }
}

/// Columns of the product that are left unwritten.
const TILE: usize = 8;

/// A kernel leaves a tile of the product unwritten: a block of exact zeros.
pub(crate) struct MatmulZeroTiles;

impl Plant for MatmulZeroTiles {
    const ABOUT: Mistake = Mistake {
        id: "matmul_zero_tiles",
        variant: None,
        kind: MistakeKind::BackendFault,
        what: "A kernel leaves a tile of the product unwritten: a block of exact zeros.",
        seen_in: "burn #4907, #4966",
        formula: Formula { right: "y = x @ transpose(W)", wrong: "y = x @ transpose(W); y[:, 0:8] = 0, for example" },
        right: right!("crates/model/src/ops/linear.rs", "p.matmul(weight, x.transpose()).transpose()"),
        hidden_when: "never where the tile is recorded",
        at: is_projection,
    };

    fn plant<B: Backend>(operations: &mut Operations<B>, _config: &Config) {
        operations.linear = |x, weight, chunk, p| {
            let product = ops::linear::linear(x, weight, p);
            let [_t, out] = product.dims();
            // The first columns of the whole product, so far as they are in this chunk.
            let tile = TILE.saturating_sub(chunk.rows.start).min(out);
            // burn refuses a part of no columns.
            if tile == 0 {
                return product;
            }
            let zeros = product.clone().narrow(1, 0, tile).mul_scalar(0.0);
            if tile == out { zeros } else { Tensor::cat(vec![zeros, product.narrow(1, tile, out - tile)], 1) }
        };
    }
}
