//! Statements: which of them export, and which are refused.

mod parameters;
mod statements;
