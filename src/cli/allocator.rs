//! Configures the allocator of the C library.

/// Makes all threads allocate from one arena. Call it before a second thread starts.
///
/// By default glibc reserves 64 MiB of address space for each thread. Under a limit
/// such as `ulimit -v 65536` this fails, and glibc then makes two system calls for
/// each allocation: ten million rows take over two minutes instead of four seconds.
/// Without a limit, one arena has no measurable cost, because one thread makes
/// nearly all allocations.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: mallopt(3) takes two numbers and changes a setting of the allocator.
    // It is unsafe only while other threads begin to allocate, and there are none
    // yet. If it refuses, nothing changes.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}
