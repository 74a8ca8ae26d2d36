//! Exports as jobs: runs and checks them, retries transient failures, and publishes
//! their outputs.

pub mod check;
pub mod claims;
mod event;
mod export;
pub mod guard;
mod increment;
mod join;
mod load;
mod outcome;
mod parts;
pub mod plan;
mod publish;
mod resume;
mod retry;
mod runner;
mod session;
mod single;
pub mod status;
mod tables;
#[cfg(test)]
mod tests;
mod text_file;

pub use event::{Event, Observer, RunReport};
pub use plan::{
    EmptyResult, ExportPlan, IncrementPlan, OnError, PartPlan, Publish, RowOrder, RunPlan,
    SchemaFile, Since, SplitPlan, TableSelection, WholeChunks,
};
pub use runner::{Runner, internal_error, run};
pub use single::{Export, ExportReport};
pub use status::{ExportStatus, Outcome, Status, StatusDetails};
pub use tables::{FoundTables, find_tables};
