//! What wgpu and CUDA share: burn's cubecl backend, and the matmul on it that keeps f32 f32.

use std::sync::Once;

use burn::tensor::{DType, TensorData};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::config::cache::CacheConfig;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::cast;
use burn_cubecl::kernel::matmul::init_matmul_output;
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::{launch_naive, launch_tiling};
#[cfg(feature = "cuda")]
use cubek::matmul::routines::simple::SimpleAlgorithm;
use cubek::matmul::routines::simple_unit::SimpleUnitAlgorithm;
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

/// Products of up to this many rows or columns go through cubek's naive kernel, one thread an output. Measured on an H100 for
/// [1820, 2304] @ [2304, 7] in f32: 0.1 ms on CUDA and Vulkan, where the unit kernel takes 0.8 and 5 ms; at 512 columns
/// it takes 2.6 ms to the unit kernel's 0.8 and 4.6. It compiles in 0.1 s, a unit kernel in 1 to 4, and several are
/// needed.
const NAIVE_UP_TO: usize = 64;

/// `lhs @ rhs` by kernels without tensor cores: multiply-adds in f32, the result rounded once.
///
/// burn's default rounds f32 operands to TF32 on CUDA (relative error 1.9e-4 at k = 2304; naive 2e-7, unit 1e-6), and
/// with autotune picks kernels by timing, so that bits differ from run to run.
pub(crate) fn matmul_strict<R: CubeRuntime>(lhs: CubeTensor<R>, rhs: CubeTensor<R>) -> CubeTensor<R> {
    let (rows, columns) = (lhs.meta.shape().iter().nth_back(1), rhs.meta.shape().last());
    if rows.min(columns).is_some_and(|narrow| *narrow <= NAIVE_UP_TO) {
        return launch(lhs, rhs, naive);
    }
    // The unit kernel of 16-bit operands would take CUDA's compiler 20 s; widened first, the sums are the same.
    let stored = lhs.dtype;
    let (lhs, rhs) = (cast(lhs, DType::F32), cast(rhs, DType::F32));
    cast(launch(lhs, rhs, unit), stored)
}

/// `lhs @ rhs` as burn does it by default: tensor cores where there are some, which round f32 operands to TF32.
#[cfg(feature = "cuda")]
pub(crate) fn matmul_tf32<R: CubeRuntime>(lhs: CubeTensor<R>, rhs: CubeTensor<R>) -> CubeTensor<R> {
    launch(lhs, rhs, tensor_cores)
}

/// One of cubek's kernels. cubek's `Strategy` names them too, but whoever passes it one compiles all 36, twice: once a
/// runtime. That was two thirds of this crate.
type Kernel<R> = fn(
    &ComputeClient<R>,
    InputBinding<R>,
    InputBinding<R>,
    TensorBinding<R>,
    &mut MatmulElems,
) -> Result<(), MatmulSetupError>;

fn naive<R: CubeRuntime>(
    client: &ComputeClient<R>,
    lhs: InputBinding<R>,
    rhs: InputBinding<R>,
    out: TensorBinding<R>,
    dtypes: &mut MatmulElems,
) -> Result<(), MatmulSetupError> {
    launch_naive::launch_ref(client, lhs, rhs, out, dtypes)
}

fn unit<R: CubeRuntime>(
    client: &ComputeClient<R>,
    lhs: InputBinding<R>,
    rhs: InputBinding<R>,
    out: TensorBinding<R>,
    dtypes: &mut MatmulElems,
) -> Result<(), MatmulSetupError> {
    launch_tiling::launch_ref::<R, SimpleUnitAlgorithm>(client, lhs, rhs, out, &Default::default(), dtypes)
}

/// What cubek's `Strategy::Auto`, burn's choice, comes to.
#[cfg(feature = "cuda")]
fn tensor_cores<R: CubeRuntime>(
    client: &ComputeClient<R>,
    lhs: InputBinding<R>,
    rhs: InputBinding<R>,
    out: TensorBinding<R>,
    dtypes: &mut MatmulElems,
) -> Result<(), MatmulSetupError> {
    let inputs = (lhs.clone(), rhs.clone(), out.clone());
    let strategy = Default::default();
    match launch_tiling::launch_ref::<R, SimpleAlgorithm>(client, inputs.0, inputs.1, inputs.2, &strategy, dtypes) {
        Err(MatmulSetupError::Unavailable(_)) => unit(client, lhs, rhs, out, dtypes),
        launched => launched,
    }
}

#[allow(clippy::panic)] // see below
fn launch<R: CubeRuntime>(lhs: CubeTensor<R>, rhs: CubeTensor<R>, kernel: Kernel<R>) -> CubeTensor<R> {
    let dtype = lhs.dtype;
    let out = init_matmul_output(&lhs, &rhs, dtype);
    let client = out.client.clone();
    let mut dtypes =
        MatmulElems::from_globals(&MatmulGlobalElems { lhs: dtype.into(), rhs: dtype.into(), out: dtype.into() });
    let lhs = InputBinding::new(lhs.binding(), dtype.into());
    let rhs = InputBinding::new(rhs.binding(), dtype.into());
    if let Err(error) = kernel(&client, lhs, rhs, out.clone().binding(), &mut dtypes) {
        // burn's own matmul has no way to return an error either; `selftest::guarded` turns this into a message.
        panic!("the matmul kernel could not be launched: {error:?}");
    }
    out
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
