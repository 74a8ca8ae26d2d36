//! The memory that the limits of the process and of its container leave.

use std::{fs, path::Path};

use nix::sys::resource::{Resource, getrlimit};

/// The limit of a container's memory, in version 2 of control groups (Linux kernel
/// documentation, "Control Group v2").
const CONTAINER_LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Returns the least limit in bytes; `None` without one.
pub(super) fn limit() -> Option<u64> {
    let process = getrlimit(Resource::RLIMIT_AS).ok().map(|(soft, _)| soft);
    let container = container_limit(Path::new(CONTAINER_LIMIT));
    process.into_iter().chain(container).min()
}

/// Reads the limit of a container; `None` where it has none, which is the word `max`.
fn container_limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, limit) in [
            ("134217728\n", Some(128 << 20)),
            ("max\n", None),
            ("", None),
        ] {
            fs::write(&file, text).expect("a file");
            assert_eq!(container_limit(file.path()), limit, "{text:?}");
        }
        assert_eq!(container_limit(Path::new("/nonexistent")), None);
    }
}
