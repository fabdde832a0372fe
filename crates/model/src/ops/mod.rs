//! The operations of Gemma 2, one a file: formula, shapes, dtype and source in each doc comment.
//!
//! "stored" in these docs means: in the storage dtype, which is the model's (config's `dtype`). The compute dtype is f32, or f64 in
//! an f64 run.

pub mod attention;
pub mod embed;
pub mod gelu;
pub mod linear;
pub mod mask;
pub mod norm;
pub mod residual;
pub mod rope;
pub mod softcap;
pub mod softmax;
