//! A private PostgreSQL, for the tests of what it loads.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use super::{installed, poll_until};

/// A running server, which listens on a socket in its folder only.
pub struct Postgres {
    folder: PathBuf,
    /// The shell that ends the server when this process ends.
    supervisor: Child,
}

/// The account `nobody`: the server does not run as root.
const NOBODY: u32 = 65534;

/// Makes the data, starts the server, and ends it when standard input closes.
const SUPERVISOR: &str = r#"
    trap '' INT TERM HUP
    programs=$1 folder=$2; shift 2
    "$@" "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 || exit
    "$@" "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off >>"$folder/log" 2>&1 </dev/null &
    read -r _
    kill -QUIT $!; wait $! 2>/dev/null
    rm -rf "$folder"
"#;

impl Postgres {
    pub fn start() -> Self {
        let temporary = tempfile::Builder::new()
            .prefix("gold_digger-")
            .tempdir()
            .expect("a folder");
        let folder = temporary.keep();
        let mut supervisor = Command::new("sh");
        supervisor
            .args(["-c", SUPERVISOR, "supervisor"])
            .args([&programs(), &folder])
            .stdin(Stdio::piped());
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            chown(&folder, Some(NOBODY), Some(NOBODY)).expect("root may");
            let id = NOBODY.to_string();
            supervisor.args([
                "setpriv",
                "--clear-groups",
                "--reuid",
                &id,
                "--regid",
                &id,
                "--",
            ]);
        } else {
            supervisor.arg("env");
        }
        let supervisor = supervisor.spawn().expect("sh starts");
        let server = Self { folder, supervisor };
        let ready = poll_until(Duration::from_secs(60), || {
            server.psql("").status.success().then_some(())
        });
        let log = fs::read_to_string(server.folder.join("log")).unwrap_or_default();
        ready.unwrap_or_else(|| panic!("PostgreSQL did not start: {log}"));
        server
    }

    /// Runs `script` with psql, up to the first error.
    pub fn psql(&self, script: &str) -> Output {
        let mut psql = Command::new(programs().join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-h",
        ])
        .arg(&self.folder)
        .env_remove("PGOPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
        let mut psql = psql.spawn().expect("psql starts");
        let mut stdin = psql.stdin.take().expect("a pipe");
        // psql may end at an error before it has read everything.
        let _ = stdin.write_all(script.as_bytes());
        drop(stdin);
        psql.wait_with_output().expect("psql ends")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// Returns the folder of PostgreSQL's programs.
fn programs() -> PathBuf {
    installed("GOLD_DIGGER_POSTGRES", "/usr/lib/postgresql/*/bin")
}
