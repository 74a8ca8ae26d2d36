//! Asks for a password on the terminal, without echo.
//!
//! Existing crates show the prompt before they turn the echo off, so that an
//! immediate answer of a script is visible, and they leave the terminal changed
//! after Ctrl-C.

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

use super::signals;
use crate::{config::PromptError, error::Signal};

/// Shows `prompt` and reads a line, on the controlling terminal of the process, even
/// if its standard input and output are redirected.
///
/// # Errors
/// [`PromptError::Signal`], if a signal arrives first; otherwise the error of the
/// terminal, also if there is none.
pub fn ask(prompt: &str) -> Result<SecretString, PromptError> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let mut no_echo = NoEcho::new(terminal)?;
    no_echo.terminal.write_all(prompt.as_bytes())?;
    no_echo.read_line().map(SecretString::from)
}

/// The value that disables a control character (`_POSIX_VDISABLE`, 0 on Linux).
const DISABLED: u8 = 0;

/// A terminal without echo. Dropping it restores the terminal.
struct NoEcho {
    terminal: File,
    /// The settings that are restored.
    before: Termios,
    /// One stream for each signal, which is readable once the signal has arrived.
    signals: Vec<(Signal, UnixStream)>,
    /// The signal handlers, to be unregistered.
    handlers: Vec<signal_hook::SigId>,
}

impl NoEcho {
    /// Handles signals, turns the echo of `terminal` off, and discards earlier input.
    fn new(terminal: File) -> Result<Self, PromptError> {
        let before = tcgetattr(&terminal)?;
        let mut no_echo = Self {
            terminal,
            before,
            signals: Vec::new(),
            handlers: Vec::new(),
        };
        for signal in signals::handled_signals() {
            let (reader, writer) = UnixStream::pair()?;
            no_echo
                .handlers
                .push(low_level::pipe::register(signals::number(signal), writer)?);
            no_echo.signals.push((signal, reader));
        }
        let mut settings = no_echo.before.clone();
        settings.local_flags.remove(LocalFlags::ECHO);
        settings.local_flags.insert(LocalFlags::ECHONL);
        // Ctrl-\ would end the process with the echo off.
        settings.control_chars[SpecialCharacterIndices::VQUIT as usize] = DISABLED;
        // TCSAFLUSH also discards what was typed before the prompt.
        tcsetattr(&no_echo.terminal, SetArg::TCSAFLUSH, &settings)?;
        Ok(no_echo)
    }

    /// Reads a line without its line end.
    fn read_line(&mut self) -> Result<String, PromptError> {
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

    /// Waits for input or for a signal.
    fn wait(&self) -> Result<(), PromptError> {
        let signals = self.signals.iter().map(|(_, reader)| reader.as_fd());
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
            Some(((signal, _), _)) => Err(PromptError::Signal(*signal)),
            None => Ok(()),
        }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // It fails only if the terminal is gone, and then nothing can be restored.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}
