//! Retries what failed for a transient reason, with pauses that double.

use std::time::Duration;

use crate::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// The first pause between two attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Runs `attempt` until it succeeds, fails permanently, or has been retried
/// `retries` times. Before each pause, `may_retry` sees the transient error: it
/// returns what is reported of it, or why there is no further attempt; `warn`
/// reports it.
///
/// # Errors
/// The error of the last attempt; the cause, where `cancel` was cancelled during
/// a pause.
pub(super) fn retry<T>(
    retries: u32,
    cancel: &CancelToken,
    mut attempt: impl FnMut() -> Result<T>,
    mut may_retry: impl FnMut(Error) -> Result<Error>,
    warn: impl Fn(String),
) -> Result<T> {
    let (attempts, mut number, mut pause) = (u64::from(retries) + 1, 1, FIRST_PAUSE);
    loop {
        let error = match attempt() {
            Err(error) if number < attempts && error.is_transient() => may_retry(error)?,
            result => return result,
        };
        warn(format!(
            "attempt {number} of {attempts} failed: {}; the next one begins in {} s",
            error.message(),
            pause.as_secs()
        ));
        cancel.wait(pause)?;
        pause = MAX_PAUSE.min(2 * pause);
        number += 1;
    }
}
