//! The path of the rows from the server to the output: flushing, memory and size.

mod flushing;
mod memory;
mod million_rows;
