//! Tells the program the commit and the target that it was built from.

// Cargo reads what a build script prints.
#![allow(clippy::print_stdout)]

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=GOLD_DIGGER_COMMIT");
    let named = env::var("GOLD_DIGGER_COMMIT")
        .ok()
        .filter(|name| !name.is_empty());
    let commit = named.or_else(|| git(&["rev-parse", "--short=9", "HEAD"]));
    // The log of HEAD grows with each commit.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let commit = commit.unwrap_or_else(|| "unknown commit".to_owned());
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=GOLD_DIGGER_BUILD={commit}, {target}");
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
