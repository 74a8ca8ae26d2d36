//! Fuzzes the whole client with a server that sends any bytes. Asserts that the
//! client ends cleanly and soon, and leaves a file only if it succeeds.

#![no_main]

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    thread,
};

use gold_digger::{cancel::CancelToken, cli::args::Args, config::Task, jobs, source};
use libfuzzer_sys::fuzz_target;

mod resolve;

/// A server on the Unix socket `s` in a folder of its own.
struct Server {
    /// The bytes that it sends to each client.
    bytes: Arc<Mutex<Vec<u8>>>,
    folder: PathBuf,
}

/// Returns the server, which is started by the first call.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        // The hook of the fuzzer aborts at every panic. This one, installed after
        // it, leaves the panics of the driver that the library catches.
        source::install_panic_hook();
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder").keep();
        let listener = UnixListener::bind(folder.join("s")).expect("a socket");
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let to_send = Arc::clone(&bytes);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let bytes = to_send.lock().expect("a lock").clone();
                thread::spawn(move || {
                    let _ = stream.write_all(&bytes);
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
        Server { bytes, folder }
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let server = server();
    *server.bytes.lock().expect("a lock") = bytes.to_vec();
    let socket = server.folder.join("s");
    let format = ["csv", "tsv", "json"][usize::from(choice % 3)];
    let target = server.folder.join("x").with_extension(format);
    let protocol = ["auto", "text", "binary"][usize::from(choice / 3 % 3)];
    let mut arguments = vec![
        "gold_digger".to_owned(),
        "--no-defaults".to_owned(),
        format!(
            "--db-url=mysql://me:secret@localhost/db?socket={}",
            socket.display()
        ),
        format!("--protocol={protocol}"),
        format!("--output={}", target.display()),
        "--connect-timeout=5s".to_owned(),
        "--read-timeout=5s".to_owned(),
        "SELECT a FROM t".to_owned(),
    ];
    if choice & 0x80 != 0 {
        arguments.push("--compress".to_owned());
    }
    if choice & 0x40 != 0 {
        arguments.push("-v".to_owned());
    }
    let args = Args::parse_arguments(arguments.into_iter().map(Into::into)).expect("arguments");
    let Ok(Task::Export(plan)) = resolve::resolve(args) else {
        panic!("the task is no export");
    };
    let report = jobs::run(*plan, Arc::new(()), &CancelToken::new());
    match report.result {
        Ok(()) => fs::remove_file(&target).expect("a file"),
        Err(error) => {
            assert!(matches!(error.kind().exit_code(), 1 | 3 | 4), "{error}");
            let left = fs::read_dir(&server.folder).expect("the folder").count();
            assert_eq!(left, 1, "something is left behind: {error}");
        }
    }
});
