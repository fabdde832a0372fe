//! Broken data and broken kernels: what a right program computes when what runs it is wrong.

use burn::tensor::backend::Backend;
use loupe_model::{Call, Computed, Right};
use loupe_tensor::Tensor;

use crate::lookup::is_projection;
use loupe_spec::{Formula, Mistake, MistakeKind};

use crate::cite::right;

pub(crate) const Q4K_REPEATED_BLOCK: Mistake = Mistake {
    id: "q4k_repeated_block",
    variant: None,
    kind: MistakeKind::Architectural,
    what: "The first 32 values of each row of a matrix are repeated along the row: a dequantiser that does not advance.",
    seen_in: "no public port known",
    formula: Formula {
        right: "W[row][j] = dequantise(blocks[row][j // 32])[j % 32]",
        wrong: "W[row][j] = dequantise(blocks[row][0])[j % 32]",
    },
    right: right!("crates/model/src/evaluate.rs", "let parts = each(Some(next::<B>(reads)?), Some(read))?;"),
    hidden_when: "rows are shorter than two blocks",
    at: is_projection,
    changes: &[],
};

pub(crate) fn q4k_repeated_block<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let weight = call.weight::<2>()?;
    let [_rows, inner] = weight.dims();
    let block = weight.narrow(1, 0, inner.min(32));
    right(&call.with_weight(block.repeat_dim(1, inner.div_ceil(32)).narrow(1, 0, inner)))
}

/// Columns of the product that are left unwritten.
const TILE: usize = 8;

pub(crate) const MATMUL_ZERO_TILES: Mistake = Mistake {
    id: "matmul_zero_tiles",
    variant: None,
    kind: MistakeKind::BackendFault,
    what: "A kernel leaves a tile of the product unwritten: a block of exact zeros.",
    seen_in: "burn #4907, #4966",
    formula: Formula { right: "y = x @ transpose(W)", wrong: "y = x @ transpose(W); y[:, 0:8] = 0, for example" },
    right: right!("crates/model/src/ops/linear.rs", "p.project(weight, x.transpose()).transpose()"),
    hidden_when: "never where the tile is recorded",
    at: is_projection,
    changes: &[],
};

pub(crate) fn matmul_zero_tiles<B: Backend>(call: &Call<'_, B>, right: &Right<'_, B>) -> Computed<B> {
    let first = call.read.map_or(0, |read| read.rows.start);
    let unwritten = |product: Tensor<B, 2>| {
        let [_t, out] = product.dims();
        // The first columns of the whole product, so far as they are in this part of it. burn refuses a part of no columns.
        let tile = TILE.saturating_sub(first).min(out);
        if tile == 0 {
            return product;
        }
        let zeros = product.clone().narrow(1, 0, tile).mul_scalar(0.0);
        if tile == out { zeros } else { Tensor::cat(vec![zeros, product.narrow(1, tile, out - tile)], 1) }
    };
    Ok(right(call)?.map(unwritten, |x| x))
}
