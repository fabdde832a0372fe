//! How much memory there is.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that a program may still take: what the system has, or its container, whichever is less. Everything where neither
/// says.
pub fn free_memory() -> usize {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    // A chroot without /proc: sysinfo panics where it is asked for a container's limit then.
    if system.total_memory() == 0 {
        return usize::MAX;
    }
    // Not what the container calls free: there, files in the page cache, which make room at once, count as used.
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory.saturating_sub(limits.rss));
    match system.available_memory().min(container) {
        0 => usize::MAX,
        free => usize::try_from(free).unwrap_or(usize::MAX),
    }
}
