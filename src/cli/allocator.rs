//! How the C library's allocator is set.

/// Has all threads allocate from one arena. To be called before there is a
/// second thread.
///
/// By default glibc reserves 64 MiB of address space for each thread. Under a
/// limit such as `ulimit -v 65536` it cannot, and then makes two system calls
/// for each allocation, so that ten million rows take over two minutes instead
/// of four seconds. Without a limit, one arena costs nothing that can be
/// measured: one thread allocates nearly all there is.
pub fn share_one_arena() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: mallopt(3) takes two numbers and changes a setting of the allocator
    // itself; it is unsafe only beside other threads that begin to allocate, and
    // there are none yet. Where it refuses, everything stays as it was.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}
