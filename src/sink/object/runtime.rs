//! The one thread on which requests to object stores run. It starts with the first one.

use std::{
    io,
    sync::{
        OnceLock,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tokio::runtime::{Builder, Handle};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

/// How often a thread that waits for a request looks whether its work is cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Returns the handle of the runtime, which is started if it is not running.
pub(super) fn handle() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<io::Result<Handle>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("object store".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(handle)
    });
    let failed = |error: &io::Error| {
        let message = format!("cannot start the thread for object stores: {error}");
        Error::new(ErrorKind::Output, message)
    };
    runtime.as_ref().map_err(failed)
}

/// Runs `request` on the runtime's thread, and waits for its result.
///
/// # Errors
/// The cause, if `cancel` is cancelled before it has ended; [`ErrorKind::Output`], if the
/// runtime has failed.
pub(super) fn run<T: Send + 'static>(
    request: impl Future<Output = T> + Send + 'static,
    cancel: Option<&CancelToken>,
) -> Result<T> {
    let (done, result) = mpsc::sync_channel(1);
    let task = handle()?.spawn(async move {
        // The waiting thread has gone after a cancellation.
        let _ = done.send(request.await);
    });
    loop {
        match result.recv_timeout(POLL_INTERVAL) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(cause) = cancel.and_then(CancelToken::cause) {
                    task.abort();
                    return Err(cause);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                let message = "a request to the object store has ended early";
                return Err(Error::new(ErrorKind::Output, message));
            }
        }
    }
}
