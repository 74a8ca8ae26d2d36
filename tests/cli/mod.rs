//! The command line: arguments, messages, early endings and the documented commands.

mod command_line;
pub mod documentation;
mod ending;
mod manners;
