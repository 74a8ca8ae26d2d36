//! The formats: their exact bytes, the text of each type's values, and the values
//! that other programs read from them.

mod columnar;
mod formats;
mod loading;
mod memory;
mod options;
mod overrides;
pub mod readers;
mod statements;
mod tables;
mod targets;
mod types;
mod values;
mod xlsx;
