//! Runs work of the driver within a time limit, and ends what is late: its socket is
//! shut down from outside, which returns its thread from every read and write.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use mysql::Conn;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown,
        sockopt::{Timeout, set_socket_timeout, socket_timeout},
    },
};

use super::super::refusal::ConnectError;
use crate::sync::lock;

/// The most threads that may be late at one time. Only those count that cannot be
/// ended, as they wait within the system: for a name, or for a place in the queue of a
/// Unix socket.
const MAX_LATE: usize = 16;

/// The time that a thread has to end after its socket was shut down.
const TIME_TO_END: Duration = Duration::from_millis(100);

/// The threads that were late and that may still run.
static LATE: Mutex<Vec<LateThread>> = Mutex::new(Vec::new());

struct LateThread {
    thread: JoinHandle<()>,
    mark: Option<SocketMark>,
}

/// Why work has no result.
pub(in crate::source) enum NoResult {
    /// The limit has passed.
    Late,
    /// It was not started: too many threads are late.
    TooManyLate,
    /// It was not started: there is no thread for it.
    NoThread(io::Error),
}

impl NoResult {
    /// Returns the error of a connection whose limit is `timeout`.
    pub fn into_error(self, timeout: Duration) -> ConnectError {
        match self {
            Self::Late => super::no_answer(timeout),
            Self::TooManyLate => ConnectError::new(
                format!("{MAX_LATE} earlier attempts to connect have not ended"),
                "do the name's resolution and the server answer at all? try again later",
            )
            .transient(),
            Self::NoThread(error) => ConnectError::new(
                format!("no thread can be started: {error}"),
                "does a limit on processes or memory allow more? try again later",
            )
            .transient()
            .with_source(error),
        }
    }
}

/// Runs `work` on a thread of its own and waits at most `timeout` for its result.
///
/// If it is late, the socket with `mark` is shut down. A thread that does not end by
/// this is left running: name resolution cannot be interrupted. There are at most
/// [`MAX_LATE`] of them, and later calls shut down the sockets that these have opened.
pub(in crate::source) fn run_with_timeout<T: Send + 'static>(
    timeout: Duration,
    mark: Option<SocketMark>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoResult> {
    if end_late_threads() >= MAX_LATE {
        return Err(NoResult::TooManyLate);
    }
    let (send, receive) = sync_channel(1);
    let thread = Builder::new().spawn(move || {
        // It fails if the receiver has given up.
        let _ = send.send(work());
    });
    let thread = thread.map_err(NoResult::NoThread)?;
    if let Ok(result) = receive.recv_timeout(timeout) {
        return Ok(result);
    }
    if let Some(mark) = mark {
        mark.shut_down();
    }
    // A result may have lost its connection, so it is not used.
    if receive.recv_timeout(TIME_TO_END).is_err() && !thread.is_finished() {
        lock(&LATE).push(LateThread { thread, mark });
    }
    Err(NoResult::Late)
}

/// Shuts down the sockets of the threads that are late. Returns their number.
fn end_late_threads() -> usize {
    let mut late = lock(&LATE);
    late.retain(|late| !late.thread.is_finished());
    for mark in late.iter().filter_map(|late| late.mark) {
        mark.shut_down();
    }
    late.len()
}

/// What identifies the socket of one connection, which the driver does not hand out
/// before the login has succeeded: a time limit for writes that no other socket of the
/// process has.
#[derive(Clone, Copy)]
pub(in crate::source) struct SocketMark(Duration);

impl SocketMark {
    /// The shortest limit in seconds: eleven days, so that it limits nothing.
    const FIRST: u64 = 1_000_000;

    /// The number of different marks. The kernel's 32 bits hold all of them, at 1000
    /// ticks a second.
    const COUNT: u64 = 1_000_000;

    /// Returns a mark that no other open socket has.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % Self::COUNT;
        Self(Duration::from_secs(Self::FIRST + number))
    }

    /// The limit that the driver sets for writes.
    pub const fn write_timeout(self) -> Duration {
        self.0
    }

    /// Shuts the marked socket down, if it is open. It does nothing without /proc, or
    /// where no further descriptor can be opened.
    fn shut_down(self) {
        for socket in sockets() {
            if socket_timeout(&socket, Timeout::Send) == Ok(Some(self.0)) {
                // It fails if the connection has ended already.
                let _ = shutdown(&socket, Shutdown::Both);
            }
        }
    }
}

/// Limits the time of writes to `conn`, in the place of its mark.
pub(super) fn set_write_timeout(conn: &Conn, timeout: Duration) -> io::Result<()> {
    let socket = duplicate(conn.as_raw_fd())?;
    Ok(set_socket_timeout(&socket, Timeout::Send, Some(timeout))?)
}

/// Returns duplicates of the process's open sockets.
fn sockets() -> impl Iterator<Item = OwnedFd> {
    let descriptors = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    descriptors.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let is_socket = target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"socket:");
        let number = entry.file_name().to_str()?.parse().ok()?;
        is_socket.then(|| duplicate(number).ok()).flatten()
    })
}

/// Returns a duplicate of the descriptor `number`, which another thread may close at any
/// time: the duplicate stays what it is. The system's own call for this takes no bare
/// number, but a message between sockets does (unix(7), SCM_RIGHTS).
fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    let (to, from) = UnixStream::pair()?;
    let numbers = [number];
    let rights = [ControlMessage::ScmRights(&numbers)];
    let byte = [IoSlice::new(&[0])];
    sendmsg::<()>(to.as_raw_fd(), &byte, &rights, MsgFlags::empty(), None)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut messages = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&from, &mut bytes, &mut messages, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = messages.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    descriptors
        .next()
        .ok_or_else(|| io::Error::other("the system has passed no descriptor on"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Only the marked socket is shut down, in whatever thread it is.
    #[test]
    fn late_work_loses_its_socket_and_no_other() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connect = |mark: SocketMark| {
            let stream = TcpStream::connect(address).expect("a connection");
            let timeout = Some(mark.write_timeout());
            stream.set_write_timeout(timeout).expect("a limit");
            stream
        };
        let (late, other) = (SocketMark::new(), SocketMark::new());
        let mut waiting = connect(late);
        let kept = connect(other);
        let (send, receive) = sync_channel(1);
        let result = run_with_timeout(Duration::from_millis(20), Some(late), move || {
            let read = waiting.read(&mut [0; 1]);
            send.send(read.expect("the end")).expect("the test listens");
        });
        assert!(matches!(result, Err(NoResult::Late)));
        let read = receive.recv_timeout(Duration::from_secs(60));
        assert_eq!(read.expect("the thread has ended"), 0);
        kept.set_nonblocking(true).expect("an option");
        let read = (&kept).read(&mut [0; 1]).expect_err("an open connection");
        assert_eq!(read.kind(), io::ErrorKind::WouldBlock);
    }
}
