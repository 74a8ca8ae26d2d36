//! The result of a run as a whole, made of those of its exports.

use super::{
    plan::Publish,
    runner::internal_error,
    status::{ExportStatus, Outcome},
};
use crate::error::{Error, ErrorKind, Result};

/// The most names that are listed in a message.
const MAX_NAMES: usize = 10;

/// The result of a run whose threads ended with `result`. `state_error` is the
/// first error of saving the state file.
pub(super) fn summarize(
    exports: &[ExportStatus],
    publish: Publish,
    state_error: Option<Error>,
    result: Result<()>,
) -> Result<()> {
    let mut failed: Vec<(&str, Error)> = Vec::new();
    let mut others: [Vec<&str>; 2] = Default::default();
    let mut published = Vec::new();
    for export in exports {
        let name = export.name.as_deref().unwrap_or_default();
        match export.status.outcome() {
            Some(Outcome::Success) => published.push(name),
            Some(Outcome::Failure(error)) if export.name.is_none() => return Err(error),
            Some(Outcome::Failure(error)) => failed.push((name, error)),
            Some(Outcome::NotPublished) => others[0].push(name),
            None => others[1].push(name),
        }
    }
    let is_complete = failed.is_empty() && others.iter().all(Vec::is_empty);
    let first = match (failed.first(), result) {
        _ if is_complete => return state_error.map_or(Ok(()), Err),
        // A person who sent a signal wants to see that it ended the run.
        (_, Err(cause)) if matches!(cause.kind(), ErrorKind::Signal(_)) => cause,
        (Some((_, error)), _) => error.clone(),
        (None, Err(error)) => return Err(error),
        (None, Ok(())) => return Err(internal_error()),
    };
    let listed = failed
        .iter()
        .map(|(name, error)| format!("{name} (exit code {})", error.kind().exit_code()));
    let listed: Vec<String> = listed.collect();
    let mut what = match listed.len() {
        0 => first.message().to_owned(),
        count => count_of(count, exports.len(), "failed", &listed),
    };
    for (names, state) in others.iter().zip(["were not published", "did not run"]) {
        if !names.is_empty() {
            what += &format!("; {} {state}: {}", names.len(), first_names(names));
        }
    }
    if publish == Publish::AllOrNothing && !published.is_empty() {
        let names = first_names(&published);
        what += &format!("; {} are published all the same: {names}", published.len());
    }
    Err(Error::new(first.kind(), what))
}

/// `2 of 3 exports failed: a, b`.
pub(super) fn count_of(count: usize, all: usize, verb: &str, names: &[String]) -> String {
    format!("{count} of {all} exports {verb}: {}", first_names(names))
}

/// The first of `names`, and how many others there are.
fn first_names<T: AsRef<str>>(names: &[T]) -> String {
    let (shown, others) = names.split_at(names.len().min(MAX_NAMES));
    let shown: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    match others.len() {
        0 => shown.join(", "),
        count => format!("{} and {count} more", shown.join(", ")),
    }
}
