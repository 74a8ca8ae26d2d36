//! The user interface of the program: the command line, messages, progress, the
//! summary, signals and the terminal.

pub mod allocator;
pub mod args;
pub mod check;
pub mod progress;
pub mod prompt;
pub mod report;
pub mod signals;
pub mod summary;
pub mod terminal;
mod usage;
