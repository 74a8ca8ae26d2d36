//! The whole client against a server that says anything: it ends in order, soon,
//! and without a file unless it succeeds.

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

use gold_digger::{
    cancel::Cancel,
    cli::args::Args,
    config::{Config, Task},
    jobs::export::{Job, export},
    jobs::status::Journal,
    sink::Finished};
use libfuzzer_sys::fuzz_target;

/// What the server says next, and where it listens.
struct Server {
    bytes: Arc<Mutex<Vec<u8>>>,
    folder: PathBuf,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder").keep();
        let listener = UnixListener::bind(folder.join("s")).expect("a socket");
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let spoken = Arc::clone(&bytes);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let bytes = spoken.lock().expect("a lock").clone();
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
    let Ok(Task::Export(config)) = Config::resolve(args, &Journal::default()) else {
        panic!("an export was asked for");
    };
    let job = Job {
        config: &config,
        export: &config.exports[0],
        journal: &Journal::default(),
        cancel: &Cancel::default(),
        last: None,
        retries: 0,
    };
    match export(job, None).and_then(Finished::publish) {
        Ok(()) => fs::remove_file(&target).expect("a file"),
        Err(error) => {
            assert!(matches!(error.kind().exit_code(), 1 | 3 | 4), "{error}");
            let left = fs::read_dir(&server.folder).expect("the folder").count();
            assert_eq!(left, 1, "something is left behind: {error}");
        }
    }
});
