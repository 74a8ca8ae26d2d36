//! Exports as jobs: runs them, checks them, and publishes their outputs.

pub mod check;
pub mod export;
pub mod guard;
pub mod runner;
pub mod status;
