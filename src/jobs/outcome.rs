//! Summarizes the results of the exports as the result of the run.

use super::{
    plan::Publish,
    runner::internal_error,
    status::{ExportStatus, Outcome},
};
use crate::{
    error::{Error, ErrorKind, Result},
    text::counted,
};

/// The most names that are listed in a message.
const MAX_NAMES: usize = 10;

/// Returns the result of a run whose threads ended with `result`. `state_error` is
/// the first error while saving the state file.
///
/// # Errors
/// The error of a single query; otherwise an error that names the exports that
/// failed, were not published, or did not run.
pub(super) fn summarize(
    exports: &[ExportStatus],
    publish: Publish,
    state_error: Option<Error>,
    result: Result<()>,
) -> Result<()> {
    let mut failed: Vec<(&str, Error)> = Vec::new();
    let (mut not_published, mut not_run) = (Vec::new(), Vec::new());
    let mut published = Vec::new();
    for export in exports {
        let name = export.name.as_deref().unwrap_or_default();
        match export.status.outcome() {
            Some(Outcome::Success) => published.push(name),
            Some(Outcome::NothingNew) => {}
            Some(Outcome::Failure(error)) if export.name.is_none() => return Err(error),
            Some(Outcome::Failure(error)) => failed.push((name, error)),
            Some(Outcome::NotPublished) => not_published.push(name),
            None => not_run.push(name),
        }
    }
    let is_complete = failed.is_empty() && not_published.is_empty() && not_run.is_empty();
    let first = match (failed.first(), result) {
        _ if is_complete => return state_error.map_or(Ok(()), Err),
        // The user who sent a signal expects to see that it ended the run.
        (_, Err(cause)) if matches!(cause.kind(), ErrorKind::Signal(_)) => cause,
        (Some((_, error)), _) => error.clone(),
        (None, Err(error)) => return Err(error),
        (None, Ok(())) => return Err(internal_error()),
    };
    let listed = failed
        .iter()
        .map(|(name, error)| format!("{name} (exit code {})", error.kind().exit_code()));
    let listed: Vec<String> = listed.collect();
    let mut message = match listed.len() {
        0 => first.message().to_owned(),
        count => format!(
            "{count} of {} failed: {}",
            counted(exports.len() as u64, "export"),
            first_names(&listed)
        ),
    };
    for (names, one, several) in [
        (&not_published, "was not published", "were not published"),
        (&not_run, "did not run", "did not run"),
    ] {
        let state = if names.len() == 1 { one } else { several };
        if !names.is_empty() {
            message += &format!("; {} {state}: {}", names.len(), first_names(names));
        }
    }
    if publish == Publish::AllOrNothing && !published.is_empty() {
        let names = first_names(&published);
        let verb = if published.len() == 1 { "is" } else { "are" };
        message += &format!(
            "; {} {verb} published all the same: {names}",
            published.len()
        );
    }
    Err(Error::new(first.kind(), message))
}

/// Returns the first [`MAX_NAMES`] of `names`, and how many others there are.
fn first_names<T: AsRef<str>>(names: &[T]) -> String {
    let (shown, others) = names.split_at(names.len().min(MAX_NAMES));
    let shown: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    match others.len() {
        0 => shown.join(", "),
        count => format!("{} and {count} more", shown.join(", ")),
    }
}
