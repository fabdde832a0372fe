//! How glibc keeps memory that is freed.

/// Keeps buffers of up to 32 MiB for the next use. By default glibc hands the pages of a freed weight back to the system
/// and takes fresh ones for the next, which the system must clear first: on ndarray, whose matrices are copied on their
/// way, that was 9 of 13 seconds. Memory in use at once stays what it was; up to 256 MiB of it is kept once freed.
pub fn keep_freed_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code)]
    // SAFETY: glibc takes its own lock. A value it does not like is not taken, which costs speed and nothing else.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
    }
}
