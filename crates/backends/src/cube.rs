//! What wgpu and CUDA share: burn's cubecl backend, and the matmul on it that keeps f32 f32.

use std::sync::Once;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorData};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::config::cache::CacheConfig;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::cast;
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

/// `lhs @ rhs` by cubek's unit kernel: multiply-adds in f32, no tensor cores. Operands of 16 bits are widened first and
/// the product is rounded once: the same arithmetic as the kernel's own for them, which takes CUDA's compiler 6 s where
/// this one takes 1.
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
    let stored = lhs.dtype;
    let dtype = DType::F32;
    let (lhs, rhs) = (cast(lhs, dtype), cast(rhs, dtype));
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
    cast(out, stored)
}

/// Puts a bf16 tensor on the device and widens it to f32 there: half the bytes to carry, and no number changes, since a
/// bf16 is the upper half of the f32 that it equals. Two of them travel as one u32, which devices without bf16 know.
pub(crate) fn widen_bf16<R: CubeRuntime>(data: TensorData, device: &R::Device) -> CubeTensor<R> {
    let client = R::client(device);
    let count = data.num_elements();
    let pairs = count.div_ceil(2);
    let mut bytes = data.bytes;
    bytes.extend_from_byte_slice(&[0; 4][..pairs * 4 - count * 2]);
    let flat = |elements: usize, handle, dtype| -> CubeTensor<R> {
        CubeTensor::new_contiguous(client.clone(), device.clone(), [elements].into(), handle, dtype)
    };
    let packed = flat(pairs, client.create(bytes), DType::U32);
    let wide = flat(pairs * 2, client.empty(pairs * 2 * size_of::<f32>()), DType::F32);
    let cube_dim = CubeDim::new(&client, pairs);
    let cubes = cubecl::calculate_cube_count_elemwise(&client, pairs, cube_dim);
    widen_pairs::launch::<R>(&client, cubes, cube_dim, packed.into_array_arg(), wide.clone().into_array_arg());
    CubeTensor::new_contiguous(client, device.clone(), data.shape, wide.handle, DType::F32)
}

/// Little-endian: the first of two is the lower half.
#[cube(launch)]
fn widen_pairs(packed: &Array<u32>, wide: &mut Array<f32>) {
    if ABSOLUTE_POS < packed.len() {
        let two = packed[ABSOLUTE_POS];
        wide[2 * ABSOLUTE_POS] = f32::reinterpret(two << 16);
        wide[2 * ABSOLUTE_POS + 1] = f32::reinterpret((two >> 16) << 16);
    }
}
