//! Connections that are too late: after their time limit, nothing of them stays.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use nix::sys::socket::{Backlog, listen};

use crate::support::{GoldDigger, Running, fake};

/// The exports of a run, each of which makes a connection of its own.
const EXPORTS: usize = 40;

/// More of anything than this at one time means that late connections add up.
const BOUND: usize = 26;

/// The most of something that was there at one time.
#[derive(Default)]
struct Peak {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Peak {
    fn during(&self, work: impl FnOnce()) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        work();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Starts a run whose exports all have a limit of 0.1 s to connect by `url`.
fn start(folder: &Path, name: &str, url: &str, tls: &str) -> Running {
    let list = folder.join(format!("{name}.toml"));
    let export = |number: usize| {
        let file = folder.join(format!("{name}{number}"));
        format!(
            "[[export]]\nname = '{number}'\nsql = 'SELECT 1'\npath = {file:?}\nformat = 'csv'\n"
        )
    };
    fs::write(&list, (0..EXPORTS).map(export).collect::<String>()).expect("a list");
    let run = GoldDigger::new().env("DATABASE_URL", url).arg("--config");
    let limits = ["--connect-timeout", "100ms", "--tls", tls];
    run.arg(list).args(limits).start()
}

/// Returns the most threads and descriptors that the process has until it ends.
fn most_threads_and_descriptors(run: &mut Running) -> [usize; 2] {
    // At first, a process has the descriptors of the one that started it.
    run.wait_for_signal_handlers();
    let mut most = [0; 2];
    while let Ok(None) = run.child.try_wait() {
        let found = ["task", "fd"].map(|folder| {
            let entries = fs::read_dir(format!("/proc/{}/{folder}", run.child.id()));
            entries.map_or(0, Iterator::count)
        });
        most = [most[0].max(found[0]), most[1].max(found[1])];
        thread::sleep(Duration::from_millis(10));
    }
    most
}

/// Asserts that little of `run` was there at any time, and that each export met its
/// limit.
fn assert_nothing_stays(name: &str, mut run: Running, sessions: &Peak) {
    let most = most_threads_and_descriptors(&mut run);
    let most = [most[0], most[1], sessions.most.load(Ordering::SeqCst)];
    println!("{name}: threads, descriptors, sessions: {most:?}");
    let stderr = run.wait().ended_with(3);
    let late = stderr.matches("no answer within 0.1 s").count();
    assert_eq!(late, EXPORTS, "{stderr}");
    assert!(most.iter().all(|most| *most < BOUND), "{name}: {most:?}");
}

#[test]
fn late_connections_leave_no_thread_no_descriptor_and_no_session() {
    type Script = fn(&mut fake::Session);
    let scripts: [(&str, Script, &str); 5] = [
        ("silent", |_| {}, "disabled"),
        (
            "slow",
            |session| {
                // The header announces a packet of 4 MiB.
                let _ = session.stream.write_all(b"\0\0\x40\0\x0a8.0");
                while session.stream.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            },
            "disabled",
        ),
        ("login", |session| session.greet_without_tls(), "disabled"),
        ("tls", |session| session.greet_with_tls(), "required"),
        ("statement", |session| drop(session.accept()), "disabled"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let runs = scripts.map(|(name, script, tls)| {
        let sessions = Arc::new(Peak::default());
        let counted = Arc::clone(&sessions);
        let port = fake::serve(move |mut session| {
            counted.during(|| {
                script(&mut session);
                while let Ok(1..) = session.stream.read(&mut [0; 1024]) {}
            });
        });
        let run = start(folder.path(), name, &fake::url(port), tls);
        thread::spawn(move || assert_nothing_stays(name, run, &sessions))
    });
    let ended = runs.map(|run| run.join().is_ok());
    assert_eq!(ended, [true; 5]);
}

#[test]
fn late_connections_by_a_socket_leave_nothing_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let sessions = Arc::new(Peak::default());
    let counted = Arc::clone(&sessions);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                counted.during(|| while let Ok(1..) = stream.read(&mut [0; 1024]) {});
            });
        }
    });
    let url = format!("mysql://me@localhost/?socket={}", socket.display());
    let run = start(folder.path(), "socket", &url, "disabled");
    assert_nothing_stays("socket", run, &sessions);
}

/// A server that accepts no connection leaves the client waiting within the system's
/// own call, which nothing can end.
#[test]
fn connections_that_cannot_be_ended_are_few() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let listener = UnixListener::bind(&socket).expect("a socket");
    listen(&listener, Backlog::new(0).expect("a number")).expect("a queue of one");
    let _first = UnixStream::connect(&socket).expect("a place in the queue");
    let url = format!("mysql://me@localhost/?socket={}", socket.display());
    let mut run = start(folder.path(), "full", &url, "disabled");
    let [threads, _] = most_threads_and_descriptors(&mut run);
    let stderr = run.wait().ended_with(3);
    assert!(
        stderr.contains("earlier attempts to connect have not ended"),
        "{stderr}"
    );
    assert!(threads < BOUND, "{threads}");
}
