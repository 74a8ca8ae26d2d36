//! Runs work on a thread while the main thread waits for its end or for a signal.
//! The first signal cancels the work cleanly; the second ends the process.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
    iterator::Signals,
};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result, Signal},
    jobs::internal_error,
};

/// How long a cancelled run may take to clean up. After that it counts as stuck, for
/// example in a write to a pipe that nobody reads.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(700);

/// Signals within this time are one request: `timeout` signals the process and then
/// its group, so that the process gets two signals.
const SAME_REQUEST: Duration = Duration::from_millis(250);

/// An event that the main thread waits for.
enum Event<T> {
    /// The work has ended with this result.
    Ended(Result<T>),
    /// A signal has arrived.
    Signal(Signal),
}

/// Runs `work` on a separate thread, and cancels `cancel` when SIGHUP, SIGINT or
/// SIGTERM arrives.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Signal`], if a signal ended it;
/// [`ErrorKind::Config`], if the handler or the thread cannot be set up.
pub fn watch<T: Send + 'static>(
    cancel: &CancelToken,
    work: impl FnOnce(&CancelToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (events, inbox) = mpsc::channel();
    let armed = Arc::new(AtomicBool::new(false));
    listen(&events, &armed).map_err(|error| {
        Error::config(format!("cannot set up the handling of signals: {error}")).with_source(error)
    })?;
    let handle = cancel.clone();
    let worker = thread::Builder::new().spawn(move || {
        // A panic must end the run, not leave the main thread waiting.
        let result = catch_unwind(AssertUnwindSafe(|| work(&handle)));
        let result = result.unwrap_or_else(|_| Err(internal_error()));
        // It fails if a signal has already ended the wait.
        let _ = events.send(Event::Ended(result));
    });
    worker.map_err(|error| {
        Error::config(format!("cannot start a thread: {error}")).with_source(error)
    })?;
    let signal = match inbox.recv() {
        // A first signal from now on has no effect; a second one ends the process.
        Ok(Event::Ended(result)) => return result,
        Ok(Event::Signal(signal)) => signal,
        Err(_) => return Err(internal_error()),
    };
    let cause = Error::new(
        ErrorKind::Signal(signal),
        format!("ended by {}", signal.name()),
    );
    cancel.cancel_all(&cause);
    let mut deadline = Instant::now() + SHUTDOWN_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.recv_timeout(left) {
            Ok(Event::Ended(result)) => return result,
            // A second, separate signal ends the process through the handler that is
            // now armed.
            Ok(Event::Signal(_)) => {}
            // The commit has begun and cannot be cancelled, so wait for it.
            Err(RecvTimeoutError::Timeout) if cancel.is_committing() => {
                deadline = Instant::now() + SHUTDOWN_TIMEOUT;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                cancel.discard_all();
                return Err(cause);
            }
        }
    }
}

/// Installs a handler for SIGXFSZ, so that a write beyond the file-size limit fails
/// with an ordinary error instead of ending the process.
pub fn take_file_size_limits_as_errors() {
    // Registration fails only for signals that cannot be handled.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Starts the thread that sends signals to `events`. Once `armed` is set, another
/// signal ends the process with exit code 128 + its number.
fn listen<T: Send + 'static>(
    events: &mpsc::Sender<Event<T>>,
    armed: &Arc<AtomicBool>,
) -> std::io::Result<()> {
    let numbers: Vec<i32> = handled_signals().map(number).collect();
    // First, because a signal is lost that only the handlers below take.
    let mut signals = Signals::new(&numbers)?;
    for number in numbers {
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(armed))?;
    }
    let (events, armed) = (events.clone(), Arc::clone(armed));
    thread::Builder::new().spawn(move || {
        for number in signals.forever() {
            let Some(signal) = from_number(number) else {
                continue;
            };
            let _ = events.send(Event::Signal(signal));
            thread::sleep(SAME_REQUEST);
            armed.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// Returns the signals that end a run. A signal that was ignored when the process
/// started stays ignored, as `nohup` requires.
pub(super) fn handled_signals() -> impl Iterator<Item = Signal> {
    let ignored = ignored_signals();
    let signals = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];
    signals
        .into_iter()
        .filter(move |signal| ignored & (1 << (number(*signal) - 1)) == 0)
}

/// Returns the signal's number.
pub(super) const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Hangup => SIGHUP,
        Signal::Interrupt => SIGINT,
        Signal::Terminate => SIGTERM,
    }
}

/// Returns the signal with this number, if it ends a run.
const fn from_number(number: i32) -> Option<Signal> {
    match number {
        SIGHUP => Some(Signal::Hangup),
        SIGINT => Some(Signal::Interrupt),
        SIGTERM => Some(Signal::Terminate),
        _ => None,
    }
}

/// Returns the signals that this process inherited as ignored, as a bit mask: bit 0
/// is signal 1 (proc_pid_status(5), `SigIgn`). Returns zero if the mask cannot be
/// read.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
