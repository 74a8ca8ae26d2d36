//! Binds the query of an export that reads only what is new: finds out what that is, in the
//! snapshot of the session.

use super::{
    export::ExportContext,
    guard,
    plan::{EmptyResult, ExportPlan, IncrementPlan, Since},
    session::Session,
};
use crate::{
    artifacts::history::LastSuccess,
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
    let found = session.increment(&plan.options, &start(plan, context.last))?;
    found
        .warnings
        .into_iter()
        .for_each(|text| context.warn(text));
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
    status.update(|details| details.mark = found.mark);
    Ok(())
}

/// Returns where the increment of `plan` begins. `last` is the export's last success.
pub(super) fn start(plan: &IncrementPlan, last: Option<&LastSuccess>) -> IncrementStart {
    let mark = last.and_then(|last| last.mark.clone());
    match (&plan.since, mark) {
        (Some(Since::Backfill(value)), _) => IncrementStart::From(value.clone()),
        (_, Some(mark)) => IncrementStart::After(mark),
        (Some(Since::First(value)), None) => IncrementStart::From(value.clone()),
        (None, None) => IncrementStart::Everything,
    }
}

/// The end of an export that has nothing new to read. It is a success.
pub(super) fn nothing_new(export: &ExportPlan) -> Error {
    let message = format!("no new rows; {} left as it was", export.target);
    Error::new(ErrorKind::NoRows, message)
}
