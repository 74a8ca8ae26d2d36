//! The standard descriptors, and which of them were closed when the program
//! began.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of a standard
//! descriptor that is closed (`gold_digger … >&-`), where all rows would vanish
//! with exit code 0. Only code that runs before the runtime can see that; a look
//! afterwards cannot: a user who wants no output may have opened /dev/null in the
//! same way.

use std::{
    io,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

/// A bit for each standard descriptor that was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Records which standard descriptors are closed. To be called before Rust's
/// runtime starts; without the call, all count as open.
pub fn record_closed_descriptors() {
    let flags = [
        fcntl(io::stdin(), FcntlArg::F_GETFD),
        fcntl(io::stdout(), FcntlArg::F_GETFD),
        fcntl(io::stderr(), FcntlArg::F_GETFD),
    ];
    let bit = |(number, flags)| u8::from(flags == Err(Errno::EBADF)) << number;
    let closed = flags.into_iter().enumerate().map(bit).sum();
    CLOSED.store(closed, Relaxed);
}

/// Standard output.
///
/// # Errors
/// Where it was closed when the program began.
pub(crate) fn standard_output() -> io::Result<io::Stdout> {
    check(1).map(|()| io::stdout())
}

/// Whether the descriptor `number` is what it was when the program began.
///
/// # Errors
/// Where it is a standard one, and was closed.
pub(super) fn check(number: u8) -> io::Result<()> {
    if number < 3 && CLOSED.load(Relaxed) & 1 << number != 0 {
        return Err(io::Error::other("it is closed"));
    }
    Ok(())
}
