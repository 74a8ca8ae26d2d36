//! Whether standard output was closed when the program began.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of a standard
//! descriptor that is closed (`gold_digger … >&-`), where all rows would vanish
//! with exit code 0. Only what runs before it can see that. A look at what stands
//! there afterwards cannot: whoever wants no output may have opened /dev/null in
//! the same way.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

static IS_CLOSED: AtomicBool = AtomicBool::new(false);

ctor::declarative::ctor! {
    // The crate wants it said that this may run before the runtime: it asks the
    // system for one descriptor, and sets a flag.
    #[ctor(unsafe)]
    fn look() {
        let flags = fcntl(io::stdout(), FcntlArg::F_GETFD);
        IS_CLOSED.store(flags == Err(Errno::EBADF), Relaxed);
    }
}

/// Says so where standard output was closed when the program began.
pub(crate) fn standard_output() -> io::Result<io::Stdout> {
    if IS_CLOSED.load(Relaxed) {
        return Err(io::Error::other("it is closed"));
    }
    Ok(io::stdout())
}
