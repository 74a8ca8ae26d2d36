//! gold_digger streams the rows of a MySQL or MariaDB query into CSV, TSV or
//! JSON, with flat memory, exact values, and never a truncated file that looks
//! whole.
//!
//! The modules in reading order: what was typed ([`cli`]) becomes what will run
//! ([`config`], with [`sql`]); [`export`] pulls rows from the [`source`]
//! ([`schema`], [`row`]), has a [`format`](mod@format) encode them into a
//! [`buffer`], and has an [`output`] hand it to a [`sink`] in time, where the
//! [`guard`]s, which may know the last success from the [`state`], let it pass.
//! [`run`] has the exports run and published, each with a [`manifest`], which
//! [`verify`] reads, and has [`retention`] remove old ones; [`signals`] and
//! [`cancel`] end it early; [`error`] says how it failed. What is known stands in a
//! [`journal`], which [`progress`], [`summary`] and [`report`] show; [`check`]
//! finds out without running. [`allocator`] keeps memory small.

pub mod allocator;
pub mod buffer;
pub mod cancel;
pub mod check;
pub mod cli;
pub mod config;
pub mod error;
pub mod export;
pub mod format;
pub mod guard;
pub mod journal;
pub mod manifest;
pub mod output;
pub mod progress;
pub mod report;
pub mod retention;
pub mod row;
pub mod run;
pub mod schema;
pub mod signals;
pub mod sink;
pub mod source;
pub mod sql;
pub mod state;
pub mod summary;
pub mod verify;
