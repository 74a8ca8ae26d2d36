//! Binds the query of an export that reads only what is new: finds out what that is, in the
//! snapshot of the session.

use super::{
    export::ExportContext,
    guard,
    plan::{EmptyResult, ExportPlan, IncrementPlan, Since},
    session::Session,
};
use crate::{
    artifacts::{
        history::{KeptMark, LastSuccess},
        manifest,
    },
    error::{Error, ErrorKind, Result},
    source::IncrementStart,
    sql::{INCREMENT, Parameter, SINCE, UNTIL},
};

/// Binds the query of the export of `context`. Of an export that reads only what is new, the
/// bounds are looked up before, and kept in its status.
///
/// # Errors
/// [`ErrorKind::NoRows`] if nothing is new.
pub(super) fn bind(context: ExportContext<'_>, session: &mut dyn Session) -> Result<()> {
    let export = context.export;
    session.bind(export)?;
    let Some(plan) = &export.increment else {
        return Ok(());
    };
    let start = start(plan, context.last);
    let found = session.increment(&plan.options, &start)?;
    let server = context.plan.connect.endpoint.to_string();
    let statement = statement_sha256(export)?;
    let last = context.last.and_then(|last| last.mark.as_ref());
    let last = last.filter(|_| matches!(start, IncrementStart::After(_)));
    let others = last.map_or(Vec::new(), |last| differences(last, &server, &statement));
    let warnings = others.into_iter().chain(found.warnings);
    warnings.for_each(|text| context.warn(text));
    if !found.is_new && export.empty_result != EmptyResult::Allow {
        guard::check_all_rows(&export.guards, 0, context.last)?;
        return Err(nothing_new(export));
    }
    let values = [
        (INCREMENT, found.condition),
        (SINCE, found.since),
        (UNTIL, found.until),
    ];
    let parameters = export.parameters.iter().map(|parameter| {
        let mut values = values.iter();
        match values.find(|(name, _)| *name == parameter.name) {
            Some((name, sql)) => Parameter::expression(name, sql.clone()),
            None => parameter.clone(),
        }
    });
    session.bind(&ExportPlan {
        parameters: parameters.collect(),
        ..export.clone()
    })?;
    let status = &context.status.status;
    let kept = found.mark.map(|mark| KeptMark {
        server,
        statement,
        mark,
    });
    status.update(|details| details.mark = kept);
    Ok(())
}

/// Returns the SHA-256 of the statement of `export` and of its parameters, but for the bounds.
fn statement_sha256(export: &ExportPlan) -> Result<String> {
    let is_own = |parameter: &&Parameter| ![INCREMENT, SINCE, UNTIL].contains(&&*parameter.name);
    let parameters: Vec<_> = export.parameters.iter().filter(is_own).collect();
    let parameters = serde_json::to_string(&parameters).map_err(|error| {
        let message = format!("cannot describe the parameters: {error}");
        Error::new(ErrorKind::Output, message).with_source(error)
    })?;
    let text = format!("{}\n{parameters}", export.query.text());
    Ok(manifest::text_sha256(&text))
}

/// Returns what is another one than when the row `last` was kept, so that rows may be missing
/// before it.
fn differences(last: &KeptMark, server: &str, statement: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if last.server != server {
        warnings.push(format!(
            "the last row is of the server {}, and this is {server}: what is new there only above that row comes",
            last.server
        ));
    }
    if last.statement != statement {
        warnings.push(
            "the statement or a parameter has changed since the last row was kept: rows before it that only the new one has do not come"
                .to_owned(),
        );
    }
    warnings
}

/// Returns where the increment of `plan` begins. `last` is the export's last success.
pub(super) fn start(plan: &IncrementPlan, last: Option<&LastSuccess>) -> IncrementStart {
    let mark = last.and_then(|last| last.mark.clone());
    match (&plan.since, mark) {
        (Some(Since::Backfill(value)), _) => IncrementStart::From(value.clone()),
        (_, Some(last)) => IncrementStart::After(Box::new(last.mark)),
        (Some(Since::First(value)), None) => IncrementStart::From(value.clone()),
        (None, None) => IncrementStart::Everything,
    }
}

/// The end of an export that has nothing new to read. It is a success.
pub(super) fn nothing_new(export: &ExportPlan) -> Error {
    let message = format!("no new rows; {} left as it was", export.target);
    Error::new(ErrorKind::NoRows, message)
}
