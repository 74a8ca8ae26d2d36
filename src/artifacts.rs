//! What is kept beside an output file: its manifest, and the history of earlier
//! successes.

pub mod history;
pub mod manifest;
pub mod retention;
pub mod template;
pub mod verify;
