//! What wgpu and CUDA share: burn's cubecl backend, and the matmul on it that keeps f32 f32.

use std::sync::Once;

use burn::tensor::ops::FloatTensor;
use burn_cubecl::cubecl::config::cache::CacheConfig;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn_cubecl::kernel::matmul::init_matmul_output;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::matmul::launch::{Strategy, launch_ref};
use cubek::std::InputBinding;

use crate::selftest::guarded;

/// Keeps compiled kernels on disk from one process to the next (burn's default is to compile them each time, 10 s and
/// more on CUDA). Once a process, before the first device; where something set cubecl up already, that stands.
pub(crate) fn cache_kernels() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = dirs::cache_dir() else { return };
        let mut config = CubeClRuntimeConfig::default();
        config.compilation.cache = Some(CacheConfig::File(folder.join("loupe").join("kernels")));
        // It panics where a configuration was set or read before: then there is one.
        let _ = guarded(|| CubeClRuntimeConfig::set(config));
    });
}

/// `lhs @ rhs` by cubek's unit kernel: multiply-adds in f32, no tensor cores.
///
/// burn's default rounds f32 operands to TF32 on CUDA (relative error 1.9e-4 at k = 2304, this one 8.6e-7), and with
/// autotune picks kernels by timing, so that bits differ from run to run.
#[allow(clippy::panic)] // see below
pub(crate) fn matmul_strict<R, F, I, BT>(
    lhs: FloatTensor<CubeBackend<R, F, I, BT>>,
    rhs: FloatTensor<CubeBackend<R, F, I, BT>>,
) -> CubeTensor<R>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    let dtype = lhs.dtype;
    let out = init_matmul_output(&lhs, &rhs, dtype);
    let client = out.client.clone();
    let mut dtypes =
        MatmulElems::from_globals(&MatmulGlobalElems { lhs: dtype.into(), rhs: dtype.into(), out: dtype.into() });
    let launched = launch_ref(
        &Strategy::SimpleUnit(Default::default()),
        &client,
        InputBinding::new(lhs.binding(), dtype.into()),
        InputBinding::new(rhs.binding(), dtype.into()),
        out.clone().binding(),
        &mut dtypes,
    );
    if let Err(error) = launched {
        // burn's own matmul has no way to return an error either; `selftest::guarded` turns this into a message.
        panic!("the strict matmul kernel could not be launched: {error:?}");
    }
    out
}
