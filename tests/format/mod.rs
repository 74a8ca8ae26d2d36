//! The formats: the bytes of each, the text of each type's values, and what other
//! programs read from them.

mod formats;
pub mod readers;
mod types;
