//! The run under the eyes of the main thread, which waits for its end or for a
//! signal. The first signal ends the run in order, the second at once.

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

/// How long a cancelled run may take to clean up. It is stuck then, for example
/// in a write to a pipe that nobody reads.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(700);

/// Signals this close together are one request: `timeout` signals the process
/// and then its group, and both reach us.
const ONE_REQUEST: Duration = Duration::from_millis(250);

enum Event<T> {
    Ended(Result<T>),
    Signal(Signal),
}

/// Does `work` on a thread of its own and ends it early when SIGHUP, SIGINT or
/// SIGTERM comes.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Signal`] where a signal ended it.
pub fn watch<T: Send + 'static>(
    cancel: &CancelToken,
    work: impl FnOnce(&CancelToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (events, inbox) = mpsc::channel();
    let armed = Arc::new(AtomicBool::new(false));
    listen(&events, &armed).map_err(|error| {
        Error::config(format!("cannot set up the handling of signals: {error}"))
    })?;
    let handle = cancel.clone();
    let worker = thread::Builder::new().spawn(move || {
        // A panic must end the run, not leave the main thread waiting.
        let result = catch_unwind(AssertUnwindSafe(|| work(&handle)));
        let result = result.unwrap_or_else(|_| Err(internal_error()));
        // Nobody listens any more where a signal ended the wait.
        let _ = events.send(Event::Ended(result));
    });
    worker.map_err(|error| Error::config(format!("cannot start a thread: {error}")))?;
    let signal = match inbox.recv() {
        // A first signal from now on comes too late, and a second one is heard.
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
            // One that is not the same request ends the process by itself.
            Ok(Event::Signal(_)) => {}
            // It is as good as done, and waited for.
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

/// With a handler in place, a file-size limit is an ordinary write error.
pub fn take_file_size_limits_as_errors() {
    // It fails for signals that cannot be handled alone.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

fn listen<T: Send + 'static>(
    events: &mpsc::Sender<Event<T>>,
    armed: &Arc<AtomicBool>,
) -> std::io::Result<()> {
    let signals: Vec<i32> = handled_signals().map(number).collect();
    for &number in &signals {
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(armed))?;
    }
    let mut signals = Signals::new(signals)?;
    let (events, armed) = (events.clone(), Arc::clone(armed));
    thread::Builder::new().spawn(move || {
        for number in signals.forever() {
            let Some(signal) = from_number(number) else {
                continue;
            };
            let _ = events.send(Event::Signal(signal));
            thread::sleep(ONE_REQUEST);
            armed.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

/// The signals that end a run. One that was ignored from the start stays so, as
/// `nohup` wants.
pub(super) fn handled_signals() -> impl Iterator<Item = Signal> {
    let ignored = ignored_signals();
    let signals = [Signal::Hangup, Signal::Interrupt, Signal::Terminate];
    signals
        .into_iter()
        .filter(move |signal| ignored & (1 << (number(*signal) - 1)) == 0)
}

pub(super) const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::Hangup => SIGHUP,
        Signal::Interrupt => SIGINT,
        Signal::Terminate => SIGTERM,
    }
}

const fn from_number(number: i32) -> Option<Signal> {
    match number {
        SIGHUP => Some(Signal::Hangup),
        SIGINT => Some(Signal::Interrupt),
        SIGTERM => Some(Signal::Terminate),
        _ => None,
    }
}

/// The signals that this process inherited as ignored, as a bit mask: bit 0 is
/// signal 1 (proc_pid_status(5), `SigIgn`). Zero where that cannot be read.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
