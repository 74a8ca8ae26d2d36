//! Exports as jobs: guards, runs of many exports, and behaviour under faults.

mod divided;
mod guards;
mod incremental;
mod manifests;
mod nightly;
mod outputs;
mod pace;
mod parts;
pub mod reliability;
mod resume;
mod split;
