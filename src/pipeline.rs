//! Carries rows from a source to a sink.

pub mod output;
