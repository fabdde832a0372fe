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
use cubek::matmul::routines::{BlueprintStrategy, Routine};
use cubek::std::InputBinding;

use loupe_spec::guarded;

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
        return launch(lhs, rhs, Product::naive);
    }
    // The unit kernel of 16-bit operands would take CUDA's compiler 20 s; widened first, the sums are the same.
    let stored = lhs.dtype;
    let (lhs, rhs) = (cast(lhs, DType::F32), cast(rhs, DType::F32));
    cast(launch(lhs, rhs, Product::unit), stored)
}

/// `lhs @ rhs` as burn does it by default: tensor cores where there are some, which round f32 operands to TF32.
#[cfg(feature = "cuda")]
pub(crate) fn matmul_tf32<R: CubeRuntime>(lhs: CubeTensor<R>, rhs: CubeTensor<R>) -> CubeTensor<R> {
    launch(lhs, rhs, Product::tensor_cores)
}

/// A product that waits for one of cubek's kernels. cubek's `Strategy` launches them too, but whoever passes it one compiles
/// all that it has, once for each runtime.
struct Product<R: CubeRuntime> {
    client: ComputeClient<R>,
    lhs: InputBinding<R>,
    rhs: InputBinding<R>,
    out: TensorBinding<R>,
    /// A kernel may change them to those that it computes in.
    dtypes: MatmulElems,
}

impl<R: CubeRuntime> Product<R> {
    fn naive(&mut self) -> Result<(), MatmulSetupError> {
        let Product { client, lhs, rhs, out, dtypes } = self;
        launch_naive::launch_ref(client, lhs.clone(), rhs.clone(), out.clone(), dtypes)
    }

    fn unit(&mut self) -> Result<(), MatmulSetupError> {
        self.tiled::<SimpleUnitAlgorithm>()
    }

    /// What cubek's `Strategy::Auto`, burn's choice, comes to.
    #[cfg(feature = "cuda")]
    fn tensor_cores(&mut self) -> Result<(), MatmulSetupError> {
        match self.tiled::<SimpleAlgorithm>() {
            Err(MatmulSetupError::Unavailable(_)) => self.unit(),
            launched => launched,
        }
    }

    fn tiled<A: Routine<()>>(&mut self) -> Result<(), MatmulSetupError>
    where
        BlueprintStrategy<(), A>: Default,
    {
        let Product { client, lhs, rhs, out, dtypes } = self;
        let strategy = BlueprintStrategy::<(), A>::default();
        launch_tiling::launch_ref(client, lhs.clone(), rhs.clone(), out.clone(), &strategy, dtypes)
    }
}

#[allow(clippy::panic)] // see below
fn launch<R: CubeRuntime>(
    lhs: CubeTensor<R>,
    rhs: CubeTensor<R>,
    kernel: fn(&mut Product<R>) -> Result<(), MatmulSetupError>,
) -> CubeTensor<R> {
    let dtype = lhs.dtype;
    let out = init_matmul_output(&lhs, &rhs, dtype);
    let mut product = Product {
        client: out.client.clone(),
        lhs: InputBinding::new(lhs.binding(), dtype.into()),
        rhs: InputBinding::new(rhs.binding(), dtype.into()),
        out: out.clone().binding(),
        dtypes: MatmulElems::from_globals(&MatmulGlobalElems {
            lhs: dtype.into(),
            rhs: dtype.into(),
            out: dtype.into(),
        }),
    };
    if let Err(error) = kernel(&mut product) {
        // burn's own matmul has no way to return an error either; `guarded` turns this into a message.
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
