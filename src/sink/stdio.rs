//! Records which standard descriptors were closed when the program started, and
//! opens standard output only if it was not.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of a closed standard
//! descriptor (`gold_digger … >&-`). All rows would be lost there with exit code 0.
//! Only code that runs before the runtime can detect this. Later, /dev/null may
//! also be there because a user who wants no output has opened it.

use std::{
    io,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

/// Bit n is set if descriptor n was closed, for the descriptors 0 to 2.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Records which standard descriptors are closed. Call it before Rust's runtime
/// starts; without the call, all of them count as open.
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

/// Returns standard output.
///
/// # Errors
/// [`io::ErrorKind::Other`], if it was closed when the program started.
pub(crate) fn standard_output() -> io::Result<io::Stdout> {
    check(1).map(|()| io::stdout())
}

/// Checks that the descriptor `number` was open when the program started, if it is
/// a standard one.
///
/// # Errors
/// [`io::ErrorKind::Other`], if it was closed.
pub(super) fn check(number: u8) -> io::Result<()> {
    if number < 3 && CLOSED.load(Relaxed) & 1 << number != 0 {
        return Err(io::Error::other("it is closed"));
    }
    Ok(())
}
