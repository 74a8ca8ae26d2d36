//! Fuzzes MySQL's option files.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod dumped;
mod resolve;

fuzz_target!(|text: &[u8]| {
    // The file must not include files of this machine.
    if !text.contains(&b'!') {
        dumped::dump(text, "--defaults-file", &["SELECT 1"]);
    }
});
