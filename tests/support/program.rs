//! Runs the binary under test and checks its result.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

use gold_digger::config::settings::SETTINGS;
pub use nix::sys::signal::Signal;
use nix::{
    sys::signal::{kill, killpg},
    unistd::Pid,
};
use signal_hook::flag;

/// A run that takes longer than this counts as hung, and a condition that does not
/// come true within it as false.
const DEADLINE: Duration = Duration::from_secs(120);

/// Lets signals end the programs that the tests start, also if the tests were started
/// with the signals ignored, as `nohup` and a shell's `&` do: a program inherits that
/// of a signal, but not that it is handled.
static SIGNALS_END_PROGRAMS: LazyLock<()> = LazyLock::new(|| {
    let status = std::fs::read_to_string("/proc/self/status").expect("my status");
    let ignored = signal_mask(&status, "SigIgn:").expect("a mask");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        if ignored & (1 << (signal as i32 - 1)) != 0 {
            flag::register(signal as i32, Arc::default()).expect("it can be handled");
        }
    }
});

/// Returns a set of signals in the text of a process's status: bit 0 is signal 1
/// (proc_pid_status(5)).
fn signal_mask(status: &str, name: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// A call of the binary. Its environment has none of the program's variables.
pub struct GoldDigger {
    command: Command,
    stdin: Vec<u8>,
}

impl GoldDigger {
    pub fn new() -> Self {
        Self::wrapped_in(&[])
    }

    /// Calls the binary through the command `wrapper`, such as `nohup`.
    pub fn wrapped_in(wrapper: &[&str]) -> Self {
        LazyLock::force(&SIGNALS_END_PROGRAMS);
        let program = env!("CARGO_BIN_EXE_gold_digger");
        let mut words = wrapper.iter().copied().chain([program]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        for setting in SETTINGS {
            for variable in [setting.variable, setting.client_variable] {
                variable.map(|name| command.env_remove(name));
            }
        }
        // The ~/.my.cnf of the user who runs the tests must not be read.
        command.env("HOME", "/nonexistent");
        Self {
            command,
            stdin: Vec::new(),
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn stdout(mut self, target: impl Into<Stdio>) -> Running {
        self.command.stdout(target);
        self.spawn()
    }

    /// Starts the binary with a pipe as its standard output.
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped());
        self.spawn()
    }

    fn spawn(mut self) -> Running {
        let mut child = self
            .command
            // The wrapper and the binary share a group, so that both can be killed.
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // The binary may end without reading its input.
        let _ = stdin.write_all(&self.stdin);
        Running {
            child,
            started: Instant::now(),
        }
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

/// A running binary.
pub struct Running {
    pub child: Child,
    started: Instant,
}

impl Running {
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("standard output is a pipe")
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("the process is there");
    }

    /// Whether the process handles `signal` itself.
    pub fn handles(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let mask = status.ok().and_then(|text| signal_mask(&text, "SigCgt:"));
        mask.is_some_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
    }

    /// Waits until the process handles signals itself.
    pub fn wait_for_signal_handlers(&self) {
        // It is the last one that the program registers.
        wait_until("signals are handled", || self.handles(Signal::SIGTERM));
    }

    /// Waits for the end of the process; kills it if it hangs.
    #[track_caller]
    pub fn wait(mut self) -> Outcome {
        let stdout = self.child.stdout.take().map(read_in_background);
        let stderr = self.child.stderr.take().map(read_in_background);
        let status = poll_until(DEADLINE, || {
            self.child.try_wait().expect("the child can be waited for")
        });
        if status.is_none() {
            self.kill();
        }
        let elapsed = self.started.elapsed();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8 output");
        let finished = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
            reader.map_or_else(Vec::new, |reader| reader.join().expect("read"))
        };
        let (stdout, stderr) = (finished(stdout), text(finished(stderr)));
        let status = status.unwrap_or_else(|| panic!("it hung; standard error: {stderr}"));
        Outcome {
            status,
            stdout,
            stderr,
            elapsed,
        }
    }
}

/// A failed test leaves no process running.
impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

impl Running {
    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).expect("a process id");
        // The process may end at this moment.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// The result of a run.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub elapsed: Duration,
}

impl Outcome {
    /// Asserts the exit code and the exact standard error.
    #[track_caller]
    pub fn ended(self, code: i32, stderr: &str) -> Self {
        assert_eq!(
            (self.status.code(), self.stderr.as_str()),
            (Some(code), stderr)
        );
        self
    }

    /// Asserts the exit code and returns the standard error.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        self.stderr
    }

    /// Asserts the exit code and that standard error contains each of `parts`.
    /// The message has at most two lines, not counting an indented excerpt of the
    /// statement, nor the warning that a busy server has not killed the query in time.
    #[track_caller]
    pub fn failed(self, code: i32, parts: &[&str]) -> Self {
        let outcome = self.failed_with_any_length(code, parts);
        let lines = outcome
            .stderr
            .lines()
            .filter(|line| !line.starts_with("    "))
            .filter(|line| !line.contains("warning: the query may still run on the server"));
        assert!(
            lines.count() <= 2,
            "more than two lines: {}",
            outcome.stderr
        );
        outcome
    }

    /// Does the same for a message of any length.
    #[track_caller]
    pub fn failed_with_any_length(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        self.assert_stderr_contains(parts);
        self
    }

    /// Asserts that standard error contains each of `parts`.
    #[track_caller]
    pub fn assert_stderr_contains(&self, parts: &[&str]) {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "{part:?} is not in: {}",
                self.stderr
            );
        }
    }

    /// Asserts success, an empty standard error and exactly these bytes on
    /// standard output.
    #[track_caller]
    pub fn wrote(self, stdout: impl AsRef<[u8]>) -> Self {
        let expected = String::from_utf8_lossy(stdout.as_ref()).into_owned();
        let outcome = self.ended(0, "");
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), expected);
        assert_eq!(outcome.stdout, stdout.as_ref());
        outcome
    }
}

/// Calls `condition` every 5 ms until it returns a value or `time` is over.
pub fn poll_until<T>(time: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        match condition() {
            Some(found) => return Some(found),
            None if Instant::now() > deadline => return None,
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Calls `condition` every 5 ms until it returns a value.
#[track_caller]
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    poll_until(DEADLINE, condition).unwrap_or_else(|| panic!("it does not come true: {what}"))
}

/// Calls `condition` every 5 ms until it is true.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}

/// Returns what a terminal shows while a shell runs `command`. If `dialogue` is
/// given, waits for its prompt and types its answer.
pub fn at_terminal(command: &str, dialogue: Option<(&str, &str)>) -> String {
    LazyLock::force(&SIGNALS_END_PROGRAMS);
    let mut terminal = Command::new("script");
    terminal
        .args([
            "--quiet",
            "--return",
            "--echo",
            "always",
            "--command",
            command,
            "/dev/null",
        ])
        .env("HOME", "/nonexistent")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut terminal = terminal.spawn().expect("script(1)");
    let mut screen = terminal.stdout.take().expect("a pipe");
    let mut shown = Vec::new();
    let mut keyboard = terminal.stdin.take().expect("a pipe");
    if let Some((prompt, answer)) = dialogue {
        while !shown.ends_with(prompt.as_bytes()) {
            let mut byte = [0];
            let length = screen.read(&mut byte).expect("it can be read");
            assert_eq!(length, 1, "it ended: {}", String::from_utf8_lossy(&shown));
            shown.extend(byte);
        }
        keyboard.write_all(answer.as_bytes()).expect("it reads");
    }
    screen.read_to_end(&mut shown).expect("it can be read");
    terminal.wait().expect("it ends");
    String::from_utf8(shown).expect("UTF-8")
}
