//! Fuzzes the configuration file.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod dumped;
mod resolve;

fuzz_target!(|text: &[u8]| {
    dumped::dump(text, "--config", &["--no-defaults", "--user", "me"]);
});
