//! Renders the report of a check as the tables of `gold_digger schema`.

use crate::{
    error::{Error, ErrorKind, Result},
    jobs::{
        check::{CheckReport, ExportFacts},
        plan::{ExportPlan, RunPlan},
    },
    load::LOAD_TARGETS,
};

/// Checks that each export of `plan` has a target with tables.
///
/// # Errors
/// [`ErrorKind::Config`].
pub fn check_targets(plan: &RunPlan) -> Result<()> {
    let targets = LOAD_TARGETS.iter().filter(|target| target.has_statement());
    let names: Vec<&str> = targets.map(|target| target.name).collect();
    for export in &plan.exports {
        let what = match &export.load {
            Some(load) if load.target.has_statement() => continue,
            Some(load) => format!("{} opens files itself, and has no tables", load.target.name),
            None => "schema does not know for which database the table is".to_owned(),
        };
        let hint = format!("name one: --for {}", names.join("|"));
        return Err(at(export, Error::config(what).with_hint(hint)));
    }
    Ok(())
}

/// Returns the statements that create the tables of the exports of `plan`, and the first
/// reason why there is none for one that would run.
pub fn to_tables(plan: &RunPlan, report: &CheckReport) -> (String, Result<()>) {
    let (mut texts, mut result) = (Vec::new(), Ok(()));
    for (export, checked) in plan.exports.iter().zip(&report.exports) {
        let Ok(facts) = &checked.result else {
            continue;
        };
        match table(facts) {
            Ok(text) => texts.push(text.to_owned()),
            Err(error) => result = result.and(Err(at(export, error))),
        }
    }
    (texts.join("\n"), result)
}

fn table(facts: &ExportFacts) -> Result<&str> {
    let result_set = facts.result_set.as_ref().map_err(|reason| {
        let what = format!("the columns of the table are not known: {reason}");
        Error::new(ErrorKind::Query, what)
    })?;
    match &result_set.table {
        Some(Ok(text)) => Ok(text),
        Some(Err(reason)) => Err(Error::config(format!("there is no table: {reason}"))
            .with_hint("rename the column in the query with AS, or the file")),
        None => Ok(""),
    }
}

/// Adds the export's name to its error.
fn at(export: &ExportPlan, error: Error) -> Error {
    match &export.name {
        Some(name) => error.with_location(name),
        None => error,
    }
}
