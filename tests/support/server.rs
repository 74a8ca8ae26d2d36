//! The real servers: started once a run, each in a temporary folder of its own,
//! on a port and socket of its own, and stopped however the run ends.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicI32, AtomicU32, Ordering},
    },
    time::Duration,
};

use mysql::{Conn, OptsBuilder, prelude::Queryable};
use nix::{sys::signal::kill, unistd::Pid};

use super::{
    GoldDigger, Signal,
    certificates::{self, Identity},
    poll_until,
};

/// A running server.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    pub socket: PathBuf,
    /// Root's; it is needed in URLs, so it has characters that must be encoded.
    pub password: String,
    folder: PathBuf,
    /// The program and its arguments.
    command: Vec<OsString>,
    /// Ends the server when this process ends, also when it is killed: its
    /// standard input then closes.
    guardian: Mutex<Option<Child>>,
    /// Its process, once it has started.
    pid: AtomicI32,
}

static MARIADB: LazyLock<Server> = LazyLock::new(|| Server::start("mariadb"));
static MYSQL: LazyLock<Server> = LazyLock::new(|| Server::start("mysql"));
static NEW_MARIADB: LazyLock<Server> = LazyLock::new(|| Server::start("new_mariadb"));
static LOGGING: LazyLock<[Server; 2]> = LazyLock::new(|| {
    ["mariadb", "mysql"].map(|name| {
        let options = ["--log-bin", "--server-id=1", "--sync-binlog=0"];
        Server::start_with(name, &options)
    })
});

/// Tests that change what all sessions of a server see run alone.
static SHARED: RwLock<()> = RwLock::new(());

/// The servers' certificates are changed by one test at a time.
pub fn changing_certificates() -> MutexGuard<'static, ()> {
    static CHANGING: Mutex<()> = Mutex::new(());
    CHANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` with a new, empty database on each server.
pub fn each_server(test: impl Fn(&Database)) {
    // A test that failed alone has put everything back.
    let _shared = SHARED.read().unwrap_or_else(PoisonError::into_inner);
    on_both(test);
}

/// The same on one server, where that does not matter.
pub fn on_a_server(test: impl Fn(&Database)) {
    let _shared = SHARED.read().unwrap_or_else(PoisonError::into_inner);
    test(&MARIADB.database());
}

/// The same, while no other test runs on a server.
pub fn each_server_alone(test: impl Fn(&Database)) {
    let _alone = SHARED.write().unwrap_or_else(PoisonError::into_inner);
    on_both(test);
}

/// Runs `test` with a new, empty database on servers that keep a binary log.
pub fn each_logging_server(test: impl Fn(&Database)) {
    for server in LOGGING.iter() {
        println!("on {}", server.name);
        test(&server.database());
    }
}

/// Runs `test` on a MariaDB of 11.6 or later, which makes its own certificate
/// and knows PARSEC.
pub fn on_new_mariadb(test: impl Fn(&Database)) {
    test(&NEW_MARIADB.database());
}

fn on_both(test: impl Fn(&Database)) {
    for server in [&*MARIADB, &*MYSQL] {
        println!("on {}", server.name);
        test(&server.database());
    }
}

/// A global variable of a server, put back when this is dropped.
pub struct GlobalVariable<'a> {
    db: &'a Database<'a>,
    name: &'static str,
    before: String,
}

impl<'a> GlobalVariable<'a> {
    /// Sets `name` to the SQL expression `value`.
    pub fn set(db: &'a Database<'a>, name: &'static str, value: &str) -> Self {
        let before: Option<String> = db
            .connect()
            .query_first(format!("SELECT QUOTE(@@GLOBAL.{name})"))
            .expect("the variable");
        db.sql(&format!("SET GLOBAL {name} = {value}"));
        Self {
            db,
            name,
            before: before.expect("its value"),
        }
    }
}

impl Drop for GlobalVariable<'_> {
    fn drop(&mut self) {
        let Self { db, name, before } = self;
        // A numeric variable takes no string.
        let plain = before.trim_matches('\'');
        let numeric = plain.parse::<f64>().is_ok();
        let value = if numeric { plain } else { before };
        // No panic: the test may be panicking already.
        let _ = db
            .connect()
            .query_drop(format!("SET GLOBAL {name} = {value}"));
    }
}

/// Kills the server and removes its folder when standard input ends. A line there
/// says that the server has ended by itself, and that the folder stays. Until
/// then nobody waits for the server, so that its number is no other process's.
const GUARDIAN: &str = r#"
    trap '' INT TERM HUP
    folder=$1; shift
    "$@" </dev/null >>"$folder/log" 2>&1 &
    if read -r _; then exit; fi
    kill -9 $!; wait $! 2>/dev/null
    rm -rf "$folder"
"#;

impl Server {
    /// One that the other tests do not use.
    pub fn start(name: &'static str) -> Self {
        Self::start_with(name, &["--skip-log-bin"])
    }

    /// The same with options of its own.
    pub fn start_with(name: &'static str, options: &[&str]) -> Self {
        let program = find_program(name);
        let unfinished = tempfile::Builder::new()
            .prefix("gold_digger-")
            .tempdir()
            .expect("a folder");
        let folder = unfinished.path().to_owned();
        let data = folder.join("data");
        let socket = folder.join("s");
        let password = format!("p@ss/{}:#", std::process::id());
        let setup = folder.join("setup.sql");
        fs::write(&setup, format!("ALTER USER root@localhost IDENTIFIED BY '{password}';\nSET GLOBAL local_infile = 1;\n"))
            .expect("a set-up file");

        let mut base = vec![
            "--no-defaults".to_owned(),
            format!("--datadir={}", data.display()),
        ];
        if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            base.push("--user=root".to_owned());
        }
        let mut initialize = match name {
            "mariadb" | "new_mariadb" => {
                let mut command = Command::new("mariadb-install-db");
                command
                    .args(&base)
                    .args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
                command
            }
            _ => {
                let mut command = Command::new(&program);
                command.args(&base).arg("--initialize-insecure");
                command
            }
        };
        fs::create_dir(&data).expect("a data folder");
        let output = initialize.output().expect("the server's set-up starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );

        let port = free_port();
        let mut command = Command::new(&program);
        command
            .args(&base)
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()));
        command
            // A server that starts removes the temporary files of others in it.
            .arg(format!("--tmpdir={}", folder.display()))
            .arg(format!("--port={port}"))
            .arg(format!("--init-file={}", setup.display()));
        command.args([
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
        ]);
        command.args([
            "--innodb-buffer-pool-size=64M",
            "--performance-schema=OFF",
            "--max-allowed-packet=1G",
        ]);
        command.arg("--secure-file-priv=").args(options);
        match name {
            "mysql" => command.arg("--mysqlx=OFF"),
            "mariadb" => {
                // Without, it has no TLS; the tests replace them.
                let identity = certificates::self_signed(&["localhost"]);
                fs::write(folder.join("ca.pem"), &identity.certificate).expect("a file");
                identity.write(&folder, "server");
                command.args(["ca=ca", "cert=server", "key=server-key"].map(|option| {
                    let (name, file) = option.split_once('=').expect("an option");
                    format!("--ssl-{name}={}/{file}.pem", folder.display())
                }))
            }
            _ => &mut command,
        };
        let words = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        let server = Self {
            name,
            port,
            socket,
            password,
            folder,
            command: words.map(OsStr::to_owned).collect(),
            guardian: Mutex::default(),
            // No process has this number.
            pid: AtomicI32::new(i32::MAX),
        };
        // From here on the guardian removes it.
        let _ = unfinished.keep();
        server.restart();
        server
    }

    /// Waits until its process has ended.
    pub fn wait_for_exit(&self) {
        let status = format!("/proc/{}/status", self.pid.load(Ordering::SeqCst));
        let has_ended = || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            // Its guardian does not look before it is told.
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        };
        poll_until(Duration::from_secs(60), has_ended).expect("the server ends");
    }

    /// Starts it; where it runs, waits until it has ended.
    pub fn restart(&self) {
        self.wait_for_exit();
        let mut guarded = self.guardian.lock().expect("a lock");
        if let Some(mut earlier) = guarded.take() {
            let stdin = earlier.stdin.as_mut().expect("a pipe");
            stdin.write_all(b"ended\n").expect("it reads");
            earlier.wait().expect("it ends");
        }
        let mut guardian = Command::new("sh");
        guardian
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&self.folder)
            .args(&self.command);
        let guardian = guardian.stdin(Stdio::piped()).spawn().expect("sh starts");
        *guarded = Some(guardian);
        let ready = poll_until(Duration::from_secs(60), || self.try_connect("").ok());
        assert!(
            ready.is_some(),
            "{} did not start:\n{}",
            self.name,
            fs::read_to_string(self.folder.join("log")).unwrap_or_default()
        );
        let pid = fs::read_to_string(self.folder.join("pid")).expect("its process id");
        let pid = pid.trim().parse().expect("a process id");
        self.pid.store(pid, Ordering::SeqCst);
    }

    /// Signals the server's process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.load(Ordering::SeqCst));
        kill(pid, signal).expect("the server is there");
    }

    /// Has the server show this from now on, and trust clients by the CA.
    pub fn use_certificate(&self, identity: &Identity, ca: &str) {
        let folder = &self.folder;
        fs::write(folder.join("ca.pem"), ca).expect("a file");
        identity.write(folder, "server");
        let mut conn = self.try_connect("").expect("the server answers");
        let mut run = |sql: &str| {
            conn.query_drop(sql)
                .unwrap_or_else(|error| panic!("{error}: {sql}"))
        };
        if self.name == "mariadb" {
            return run("FLUSH SSL");
        }
        for (name, file) in [("ca", "ca"), ("cert", "server"), ("key", "server-key")] {
            let path = folder.join(file).with_extension("pem");
            run(&format!("SET GLOBAL ssl_{name} = '{}'", path.display()));
        }
        run("ALTER INSTANCE RELOAD TLS");
    }

    /// Has a MySQL show the certificate that it made itself.
    pub fn use_generated_certificate(&self) {
        let mut conn = self.try_connect("").expect("the server answers");
        for sql in [
            "SET GLOBAL ssl_ca = 'ca.pem'",
            "SET GLOBAL ssl_cert = 'server-cert.pem'",
            "SET GLOBAL ssl_key = 'server-key.pem'",
            "ALTER INSTANCE RELOAD TLS",
        ] {
            conn.query_drop(sql)
                .unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
    }

    fn try_connect(&self, database: &str) -> mysql::Result<Conn> {
        let options = OptsBuilder::new()
            .socket(Some(self.socket.to_str().expect("a plain path")))
            .user(Some("root"))
            .pass(Some(&self.password))
            .db_name(Some(database).filter(|name| !name.is_empty()))
            .max_allowed_packet(Some(1 << 30))
            .prefer_socket(false);
        Conn::new(options)
    }

    pub fn database(&self) -> Database<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{:04}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut conn = self.try_connect("").expect("the server answers");
        conn.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            .expect("a database");
        Database { server: self, name }
    }
}

/// One test's own database.
pub struct Database<'a> {
    pub server: &'a Server,
    pub name: String,
}

impl Database<'_> {
    pub fn is_mariadb(&self) -> bool {
        self.server.name != "mysql"
    }

    /// A session of the test's own.
    pub fn connect(&self) -> Conn {
        self.server
            .try_connect(&self.name)
            .expect("the server answers")
    }

    /// The ids of the connections that run a statement with `tag` in it.
    pub fn connections_running(&self, tag: &str) -> Vec<u32> {
        let sql = format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{tag}%' AND ID <> CONNECTION_ID()"
        );
        self.connect().query(sql).expect("the process list")
    }

    /// Runs statements that set the test up.
    #[track_caller]
    pub fn sql(&self, statement: &str) {
        self.connect()
            .query_drop(statement)
            .unwrap_or_else(|error| panic!("{error}: {statement}"));
    }

    fn encoded_password(&self) -> String {
        self.server
            .password
            .bytes()
            .fold(String::new(), |mut encoded, byte| {
                write!(encoded, "%{byte:02x}").expect("a string grows");
                encoded
            })
    }

    /// The URL over TCP, by way of another port than the server's own.
    pub fn url_by_port(&self, port: u16) -> String {
        format!(
            "mysql://root:{}@127.0.0.1:{port}/{}",
            self.encoded_password(),
            self.name
        )
    }

    /// The URL over TCP.
    pub fn url(&self) -> String {
        self.url_by_port(self.server.port)
    }

    /// The URL over the Unix socket.
    pub fn socket_url(&self) -> String {
        let socket = self.server.socket.display();
        format!(
            "mysql://root:{}@localhost/{}?socket={socket}",
            self.encoded_password(),
            self.name
        )
    }

    /// The binary, told where this database is.
    pub fn export(&self, sql: &str) -> GoldDigger {
        GoldDigger::new().env("DATABASE_URL", self.url()).arg(sql)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The server's program: what the environment names, or what scripts/test
/// leaves behind.
fn find_program(name: &str) -> PathBuf {
    let variable = match name {
        "new_mariadb" => "GOLD_DIGGER_NEW_MARIADBD".to_owned(),
        name => format!("GOLD_DIGGER_{}D", name.to_uppercase()),
    };
    if let Some(program) = env::var_os(&variable) {
        return program.into();
    }
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let cache = env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let candidates = match name {
        "mariadb" => [
            PathBuf::from("/usr/sbin/mariadbd"),
            PathBuf::from("/usr/local/sbin/mariadbd"),
        ],
        "mysql" => [cache.join("gold_digger/mysql/mysqld"), PathBuf::new()],
        _ => [
            cache.join("gold_digger/new-mariadb/mariadbd"),
            PathBuf::new(),
        ],
    };
    let found = candidates.into_iter().find(|program| Path::exists(program));
    found.unwrap_or_else(|| {
        panic!("no {name} server here: run scripts/test, which installs it, or set {variable}")
    })
}
