//! Exports as jobs: guards, runs of many exports, and behaviour under faults.

mod guards;
mod nightly;
mod reliability;
