//! A run as people see it: the export under the eyes of the main thread, with its
//! progress, its end, and what is told of both.

use std::sync::Arc;

use crate::{
    cancel::Cancel,
    config::Config,
    error::Result,
    export::{aftermath, export},
    journal::Journal,
    progress, report, signals,
};

/// Runs the export that `config` describes; what it comes to stands in `journal`.
///
/// # Errors
/// Those of [`export`], with what became of the rows and of the target.
pub fn run(config: Config, journal: &Journal) -> Result<()> {
    let (config, cancel) = (Arc::new(config), Cancel::default());
    let progress = progress::show(&config, journal);
    let (exported, written) = (Arc::clone(&config), journal.clone());
    let result = signals::run(&cancel, move |cancel| export(&exported, &written, cancel));
    let result = result.map_err(|error| aftermath(error, &config.target, journal, &cancel));
    drop(progress);
    if result.is_ok() {
        report::success(journal, &config);
    }
    result
}
