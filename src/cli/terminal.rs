//! Asks the system what standard output is.

use std::{
    io::{self, IsTerminal},
    num::NonZeroU16,
};

use nix::sys::stat::{SFlag, fstat};

use crate::config::StandardOutput;

/// Returns what standard output is, and how wide it is if it is a terminal.
#[must_use]
pub fn standard_output() -> StandardOutput {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        let size = terminal_size::terminal_size_of(&stdout);
        let columns = size.and_then(|(width, _)| NonZeroU16::new(width.0));
        return StandardOutput::Terminal(columns);
    }
    let is_file = |mode: u32| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    match fstat(&stdout) {
        Ok(found) if is_file(found.st_mode) => StandardOutput::File,
        _ => StandardOutput::Stream,
    }
}
