//! Asking for a password on the terminal, without echo.
//!
//! The crates for this show the prompt before they turn the echo off, so that
//! what a script answers at once can be seen, and leave the terminal changed
//! when Ctrl-C answers it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
};
use secrecy::SecretString;
use signal_hook::low_level;

use crate::{cli::signals, error::Signal};

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// A signal ended the wait.
    Signal(Signal),
    /// There is no terminal, or it failed.
    Failed(io::Error),
}

impl<E: Into<io::Error>> From<E> for Unanswered {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Asks with `prompt` for a line, on the terminal that the process belongs to,
/// wherever its standard input and output go.
///
/// # Errors
/// Without a terminal, and where a signal comes first.
pub(crate) fn ask(prompt: &str) -> Result<SecretString, Unanswered> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let mut quiet = Quiet::new(terminal)?;
    quiet.terminal.write_all(prompt.as_bytes())?;
    quiet.read_line().map(SecretString::from)
}

/// What switches a control character off (`_POSIX_VDISABLE`, 0 on Linux).
const DISABLED: u8 = 0;

/// A terminal that shows no input, until this is dropped.
struct Quiet {
    terminal: File,
    before: Termios,
    /// Each can be read once its signal has come.
    signals: Vec<(Signal, UnixStream)>,
    handlers: Vec<signal_hook::SigId>,
}

impl Quiet {
    fn new(terminal: File) -> Result<Self, Unanswered> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = Self {
            terminal,
            before,
            signals: Vec::new(),
            handlers: Vec::new(),
        };
        for signal in signals::wanted() {
            let (told, teller) = UnixStream::pair()?;
            quiet
                .handlers
                .push(low_level::pipe::register(signal.number(), teller)?);
            quiet.signals.push((signal, told));
        }
        let mut silent = quiet.before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        // Ctrl-\ would leave the terminal as it is now.
        silent.control_chars[SpecialCharacterIndices::VQUIT as usize] = DISABLED;
        // Also drops what was typed before the question.
        tcsetattr(&quiet.terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(quiet)
    }

    fn read_line(&mut self) -> Result<String, Unanswered> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            self.wait()?;
            let mut piece = [0; 1024];
            match self.terminal.read(&mut piece)? {
                0 if line.is_empty() => {
                    return Err(io::Error::other("nothing was typed").into());
                }
                0 => break,
                length => line.extend_from_slice(&piece[..length]),
            }
        }
        line.pop_if(|end| *end == b'\n');
        Ok(String::from_utf8(line).map_err(|_| io::Error::other("what was typed is not UTF-8"))?)
    }

    /// Waits for a line, or for a signal.
    fn wait(&self) -> Result<(), Unanswered> {
        let signals = self.signals.iter().map(|(_, told)| told.as_fd());
        let watched = signals.chain([self.terminal.as_fd()]);
        let mut watched: Vec<_> = watched
            .map(|file| PollFd::new(file, PollFlags::POLLIN))
            .collect();
        loop {
            match poll(&mut watched, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        let mut states = self.signals.iter().zip(&watched);
        match states.find(|(_, state)| state.any() == Some(true)) {
            Some(((signal, _), _)) => Err(Unanswered::Signal(*signal)),
            None => Ok(()),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nobody is left to tell where the terminal has gone.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}
