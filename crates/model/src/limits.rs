//! How much is held, or asked for, at a time.

/// Sizes that change how a run goes about its work and not what it computes. On a CPU no bit of it, as long as
/// each product is large enough for the usual kernel: gemm, under flex, sums products of up to 256 numbers in another
/// order. On a GPU cubek chooses a kernel by a product's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Matrices are asked for in row chunks of at most so many bytes. Buffers of the default's size are handed round by
    /// the allocator: the four that are in flight at a time fit into the 64 MiB that glibc gives a thread's heap. Of 16 MiB each they
    /// do not, and heaps are unmapped and mapped again (61 times in a trace of 2B, against 18): 9 % of its time. Buffers over 32 MiB
    /// are mapped anew each time, and the faults on their fresh pages cost more than the arithmetic. It also keeps the head (2.4 GB in f32 for 2B) from being in memory
    /// at once.
    pub chunk_bytes: usize,
    /// Values up to so many bytes are held whole, larger ones that nobody asked to see are computed in parts: parts of
    /// a small value cost launches and save nothing.
    pub whole_bytes: usize,
    /// From so many elements of weights on, a thread reads ahead: below, it costs more than it saves.
    pub ahead_from_elements: usize,
    /// A run that would take more bytes is refused before anything is computed.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { chunk_bytes: 14 << 20, whole_bytes: 32 << 20, ahead_from_elements: 1 << 22, memory_bytes: usize::MAX }
    }
}
