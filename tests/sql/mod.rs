//! Statements: which of them export, and which are refused.

mod one_statement;
mod parameters;
mod statements;
mod tables;
