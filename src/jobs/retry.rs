//! Retries work after a transient failure, with pauses that double.

use std::time::Duration;

use crate::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// The first pause between two attempts. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Runs `attempt` until it succeeds, fails permanently, or has been retried
/// `retries` times. Before each pause, `may_retry` gets the transient error. It
/// returns the error that `warn` reports, or the final error if there must be no
/// further attempt.
///
/// # Errors
/// The error of the last attempt or of `may_retry`; the cause, if `cancel` is
/// cancelled during a pause.
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
