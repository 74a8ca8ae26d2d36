//! The command line: arguments, messages, summaries, early ends and the documented
//! commands.

mod command_line;
pub mod documentation;
mod ending;
mod flags;
mod messages;
mod schema;
mod summary;
mod usage;
