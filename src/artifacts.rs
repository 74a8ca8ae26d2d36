//! Files that accompany an output file: its manifest, and the history of earlier
//! successes. Also the checkpoints of exports that are read in chunks, the placeholders in output paths, verification against
//! manifests, and the removal of old files.

pub mod checkpoint;
pub mod dataset;
pub mod history;
pub mod manifest;
pub mod retention;
pub mod run_date;
pub mod template;
pub mod verify;
