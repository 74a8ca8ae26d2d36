//! The formats: their exact bytes, the text of each type's values, and the values
//! that other programs read from them.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::support::{GoldDigger, installed};

mod columnar;
mod formats;
mod loading;
mod memory;
mod options;
mod overrides;
mod random;
pub mod readers;
mod statements;
mod tables;
mod targets;
mod types;
mod values;
mod xlsx;

/// Returns the JSON that the Python program `script` prints of the file at `path`.
#[track_caller]
fn python_json(script: &str, path: &Path) -> Value {
    let output = Command::new(installed(
        "GOLD_DIGGER_LOADERS_PYTHON",
        "python/*/bin/python",
    ))
    .args(["-c", script])
    .arg(path)
    .output()
    .expect("Python runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Asserts that `verify` finds so many rows in `file`.
#[track_caller]
fn assert_verified(file: &Path, rows: u64) {
    let verified = GoldDigger::new().arg("verify").arg(file);
    let verified = verified.run().ended(0, "").stdout;
    let shown = String::from_utf8_lossy(&verified);
    assert!(shown.contains(&format!(": OK ({rows} rows, ")), "{shown}");
}
