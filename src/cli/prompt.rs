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

use super::signals;
use crate::{config::PromptError, error::Signal};

/// Asks with `prompt` for a line, on the terminal that the process belongs to,
/// wherever its standard input and output go.
///
/// # Errors
/// Without a terminal, and where a signal comes first.
pub fn ask(prompt: &str) -> Result<SecretString, PromptError> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let mut no_echo = NoEcho::new(terminal)?;
    no_echo.terminal.write_all(prompt.as_bytes())?;
    no_echo.read_line().map(SecretString::from)
}

/// What switches a control character off (`_POSIX_VDISABLE`, 0 on Linux).
const DISABLED: u8 = 0;

/// A terminal that shows no input, until this is dropped.
struct NoEcho {
    terminal: File,
    before: Termios,
    /// Each can be read once its signal has come.
    signals: Vec<(Signal, UnixStream)>,
    handlers: Vec<signal_hook::SigId>,
}

impl NoEcho {
    fn new(terminal: File) -> Result<Self, PromptError> {
        let before = tcgetattr(&terminal)?;
        let mut no_echo = Self {
            terminal,
            before,
            signals: Vec::new(),
            handlers: Vec::new(),
        };
        for signal in signals::handled_signals() {
            let (told, teller) = UnixStream::pair()?;
            no_echo
                .handlers
                .push(low_level::pipe::register(signals::number(signal), teller)?);
            no_echo.signals.push((signal, told));
        }
        let mut silent = no_echo.before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        // Ctrl-\ would leave the terminal as it is now.
        silent.control_chars[SpecialCharacterIndices::VQUIT as usize] = DISABLED;
        // Also drops what was typed before the question.
        tcsetattr(&no_echo.terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(no_echo)
    }

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

    /// Waits for a line, or for a signal.
    fn wait(&self) -> Result<(), PromptError> {
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
            Some(((signal, _), _)) => Err(PromptError::Signal(*signal)),
            None => Ok(()),
        }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // Nobody is left to tell where the terminal has gone.
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
        for handler in self.handlers.drain(..) {
            low_level::unregister(handler);
        }
    }
}
