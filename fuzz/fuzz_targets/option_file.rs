//! MySQL's option files.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod dumped;

fuzz_target!(|text: &[u8]| {
    // What it may include is somebody else's.
    if !text.contains(&b'!') {
        dumped::dump(text, "--defaults-file", &["SELECT 1"]);
    }
});
