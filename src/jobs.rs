//! Exports as jobs: runs and checks them, retries transient failures, and publishes
//! their outputs.

pub mod check;
mod event;
mod export;
pub mod guard;
mod load;
mod outcome;
pub mod plan;
mod publish;
mod retry;
mod runner;
mod session;
mod single;
pub mod status;
#[cfg(test)]
mod tests;

pub use event::{Event, Observer, RunReport};
pub use plan::{EmptyResult, ExportPlan, OnError, Publish, RunPlan};
pub use runner::{Runner, internal_error, run};
pub use single::{Export, ExportReport};
pub use status::{ExportStatus, Outcome, Status, StatusDetails};
