//! Where rows are written: files, standard output, pipes and devices.

mod compression;
mod objects;
mod output;
mod permissions;
mod shared_folders;
mod spool;
