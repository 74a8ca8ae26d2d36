//! The real servers. Each is started once in a test run, with its own temporary
//! folder, port and socket, and is stopped however the run ends.

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
    poll_until, wait_until,
};

/// A running server.
pub struct Server {
    pub name: &'static str,
    pub port: u16,
    pub socket: PathBuf,
    /// The password of root. It has characters that must be encoded in URLs.
    pub password: String,
    folder: PathBuf,
    /// The program and its arguments.
    command: Vec<OsString>,
    /// The shell that ends the server when this process ends. It sees the end by
    /// its closed standard input, also if this process is killed.
    supervisor: Mutex<Option<Child>>,
    /// The process id of the server once it has started.
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

/// Tests that change the state of a whole server hold this for writing, all
/// others for reading.
static SERVER_STATE: RwLock<()> = RwLock::new(());

/// Locks the servers' certificates: one test at a time may change them.
pub fn changing_certificates() -> MutexGuard<'static, ()> {
    static CHANGING: Mutex<()> = Mutex::new(());
    CHANGING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` with a new, empty database on each server.
pub fn each_server(test: impl Fn(&Database)) {
    // A poisoned lock is fine: a failed test has still restored the server's state.
    let _shared = SERVER_STATE.read().unwrap_or_else(PoisonError::into_inner);
    on_both(test);
}

/// Does the same on one server only, for tests to which the server is irrelevant.
pub fn on_a_server(test: impl Fn(&Database)) {
    let _shared = SERVER_STATE.read().unwrap_or_else(PoisonError::into_inner);
    test(&MARIADB.database());
}

/// Does the same on each server while no other test uses the servers.
pub fn each_server_alone(test: impl Fn(&Database)) {
    let _alone = SERVER_STATE.write().unwrap_or_else(PoisonError::into_inner);
    on_both(test);
}

/// Runs `test` with a new, empty database on servers that keep a binary log.
pub fn each_logging_server(test: impl Fn(&Database)) {
    for server in LOGGING.iter() {
        println!("on {}", server.name);
        test(&server.database());
    }
}

/// Runs `test` on MariaDB 11.6 or later, which makes its own certificate and has
/// the PARSEC login.
pub fn on_new_mariadb(test: impl Fn(&Database)) {
    test(&NEW_MARIADB.database());
}

fn on_both(test: impl Fn(&Database)) {
    for server in [&*MARIADB, &*MYSQL] {
        println!("on {}", server.name);
        test(&server.database());
    }
}

/// Sets a global variable of a server and restores it when dropped.
pub struct GlobalVariable<'a> {
    db: &'a Database<'a>,
    name: &'static str,
    old_value: String,
}

impl<'a> GlobalVariable<'a> {
    /// Sets `name` to the SQL expression `value`.
    pub fn set(db: &'a Database<'a>, name: &'static str, value: &str) -> Self {
        let old_value: Option<String> = db
            .connect()
            .query_first(format!("SELECT QUOTE(@@GLOBAL.{name})"))
            .expect("the variable");
        db.sql(&format!("SET GLOBAL {name} = {value}"));
        Self {
            db,
            name,
            old_value: old_value.expect("its value"),
        }
    }
}

impl Drop for GlobalVariable<'_> {
    fn drop(&mut self) {
        let Self {
            db,
            name,
            old_value,
        } = self;
        // A numeric variable takes no string.
        let plain = old_value.trim_matches('\'');
        let numeric = plain.parse::<f64>().is_ok();
        let value = if numeric { plain } else { old_value };
        // No panic: the test may be panicking already.
        let _ = db
            .connect()
            .query_drop(format!("SET GLOBAL {name} = {value}"));
    }
}

/// Starts the server. When standard input closes, kills it and removes its folder.
/// A line on standard input means that the server has already ended; the folder
/// then stays. The server is not waited for before that, so that its process id
/// is not reused.
const SUPERVISOR: &str = r#"
    trap '' INT TERM HUP
    folder=$1; shift
    "$@" </dev/null >>"$folder/log" 2>&1 &
    if read -r _; then exit; fi
    kill -9 $!; wait $! 2>/dev/null
    rm -rf "$folder"
"#;

impl Server {
    /// Starts a server for one test alone.
    pub fn start(name: &'static str) -> Self {
        Self::start_with(name, &["--skip-log-bin"])
    }

    /// Does the same with additional options.
    pub fn start_with(name: &'static str, options: &[&str]) -> Self {
        let program = find_program(name);
        let temporary = tempfile::Builder::new()
            .prefix("gold_digger-")
            .tempdir()
            .expect("a folder");
        let folder = temporary.path().to_owned();
        let password = format!("p@ss/{}:#", std::process::id());
        let setup = format!(
            "ALTER USER root@localhost IDENTIFIED BY '{password}';\nSET GLOBAL local_infile = 1;\n"
        );
        fs::write(folder.join("setup.sql"), setup).expect("a set-up file");
        initialize(name, &program, &folder);
        let port = free_port();
        let command = server_command(name, &program, &folder, port, options);
        let words = [command.get_program()]
            .into_iter()
            .chain(command.get_args());
        let server = Self {
            name,
            port,
            socket: folder.join("s"),
            password,
            folder,
            command: words.map(OsStr::to_owned).collect(),
            supervisor: Mutex::default(),
            // No process has this number.
            pid: AtomicI32::new(i32::MAX),
        };
        // From here on the supervisor removes the folder.
        let _ = temporary.keep();
        server.restart();
        server
    }

    /// Waits until the server's process has ended.
    pub fn wait_for_exit(&self) {
        let status = format!("/proc/{}/status", self.pid.load(Ordering::SeqCst));
        let has_ended = || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            // The supervisor does not wait for it yet, so it stays a zombie.
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        };
        poll_until(Duration::from_secs(60), has_ended).expect("the server ends");
    }

    /// Starts the server, after a running one has ended.
    pub fn restart(&self) {
        self.wait_for_exit();
        let mut running = self.supervisor.lock().expect("a lock");
        if let Some(mut earlier) = running.take() {
            let stdin = earlier.stdin.as_mut().expect("a pipe");
            stdin.write_all(b"ended\n").expect("it reads");
            earlier.wait().expect("it ends");
        }
        let mut supervisor = Command::new("sh");
        supervisor
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(&self.folder)
            .args(&self.command);
        supervisor.stdin(Stdio::piped());
        *running = Some(supervisor.spawn().expect("sh starts"));
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

    /// Sends a signal to the server's process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid.load(Ordering::SeqCst));
        kill(pid, signal).expect("the server is there");
    }

    /// Makes the server use the certificate of `identity` and trust clients of `ca`.
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

    /// Makes a MySQL server use the certificate that it generated itself.
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

/// The database of one test.
pub struct Database<'a> {
    pub server: &'a Server,
    pub name: String,
}

impl Database<'_> {
    pub fn is_mariadb(&self) -> bool {
        self.server.name != "mysql"
    }

    /// Opens a session as root.
    pub fn connect(&self) -> Conn {
        self.server
            .try_connect(&self.name)
            .expect("the server answers")
    }

    /// Returns the ids of the connections that run a statement that contains `tag`.
    pub fn connections_running(&self, tag: &str) -> Vec<u32> {
        self.connections(tag, "")
    }

    /// Returns those of them that wait for a lock of GET_LOCK.
    pub fn connections_waiting(&self, tag: &str) -> Vec<u32> {
        self.connections(tag, " AND STATE = 'User lock'")
    }

    fn connections(&self, tag: &str, condition: &str) -> Vec<u32> {
        // The list shows a statement for a moment after its answer: also this one, of
        // the last call, and those that have created what the query uses, which contain
        // the tag too.
        let sql = format!(
            "SELECT ID FROM information_schema.PROCESSLIST
             WHERE INFO LIKE '%{tag}%' AND INFO NOT LIKE '%information_schema.PROCESSLIST%'
             AND INFO NOT LIKE 'CREATE %'{condition}"
        );
        self.connect().query(sql).expect("the process list")
    }

    /// Waits until the server has no session in this database.
    pub fn wait_for_no_session(&self) {
        self.wait_for_no_session_which("TRUE");
    }

    /// Waits until no session in this database has something to do.
    pub fn wait_for_no_statement(&self) {
        self.wait_for_no_session_which("COMMAND <> 'Sleep'");
    }

    fn wait_for_no_session_which(&self, condition: &str) {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST
             WHERE DB = '{}' AND ID <> CONNECTION_ID() AND {condition}",
            self.name
        );
        wait_until("the server is free", || {
            self.connect().query_first(&sql).expect("a count") == Some(0)
        });
    }

    /// Runs a statement that prepares the test.
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

    /// The URL over TCP through another port than the server's, such as a proxy's.
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

    /// Creates an account that may read `view` only, and neither its definition nor its
    /// tables. Returns its URL.
    pub fn url_of_reader(&self, view: &str) -> String {
        let (name, port) = (&self.name, self.server.port);
        self.sql(&format!(
            "CREATE USER {name}_r@'127.0.0.1' IDENTIFIED BY 'p'"
        ));
        self.sql(&format!(
            "GRANT SELECT ON {name}.{view} TO {name}_r@'127.0.0.1'"
        ));
        format!("mysql://{name}_r:p@127.0.0.1:{port}/{name}")
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

    /// Calls the binary with `sql` and with the URL of this database in the
    /// environment.
    pub fn export(&self, sql: &str) -> GoldDigger {
        GoldDigger::new().env("DATABASE_URL", self.url()).arg(sql)
    }
}

/// The options of both the set-up and the server itself.
fn base_options(folder: &Path) -> Vec<String> {
    let mut options = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", folder.join("data").display()),
    ];
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
        options.push("--user=root".to_owned());
    }
    options
}

/// Makes the data folder of a server in `folder`.
fn initialize(name: &str, program: &Path, folder: &Path) {
    fs::create_dir(folder.join("data")).expect("a data folder");
    let mut command = match name {
        "mariadb" | "new_mariadb" => Command::new("mariadb-install-db"),
        _ => Command::new(program),
    };
    command.args(base_options(folder));
    // A server that starts removes temporary files of others from a common folder.
    command.env("TMPDIR", folder);
    match name {
        "mariadb" | "new_mariadb" => {
            command.args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        }
        _ => command.arg("--initialize-insecure"),
    };
    let output = command.output().expect("the server's set-up starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The command that starts a server with its data in `folder`.
fn server_command(
    name: &str,
    program: &Path,
    folder: &Path,
    port: u16,
    options: &[&str],
) -> Command {
    let in_folder = |option: &str, file: &str| format!("{option}={}", folder.join(file).display());
    let mut command = Command::new(program);
    command.args(base_options(folder));
    command.arg(in_folder("--socket", "s"));
    command.arg(in_folder("--pid-file", "pid"));
    // A starting server removes temporary files of other servers from this folder.
    command.arg(format!("--tmpdir={}", folder.display()));
    command.arg(format!("--port={port}"));
    command.arg(in_folder("--init-file", "setup.sql"));
    command.args([
        "--bind-address=127.0.0.1",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=64M",
        "--performance-schema=OFF",
        "--max-allowed-packet=1G",
        "--secure-file-priv=",
    ]);
    command.args(options);
    match name {
        "mysql" => {
            command.arg("--mysqlx=OFF");
        }
        "mariadb" => {
            // Without a certificate, MariaDB has no TLS. The tests replace this one.
            let identity = certificates::self_signed(&["localhost"]);
            fs::write(folder.join("ca.pem"), &identity.certificate).expect("a file");
            identity.write(folder, "server");
            command.args([
                in_folder("--ssl-ca", "ca.pem"),
                in_folder("--ssl-cert", "server.pem"),
                in_folder("--ssl-key", "server-key.pem"),
            ]);
        }
        _ => {}
    }
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Returns the path of the server's program: the one that the environment names,
/// or the one that scripts/test has installed.
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

/// Makes the time zone `Test/Clocks`, which has summer time from the end of March to the end
/// of October of 2026, as in Berlin.
pub fn make_zone_with_summer_time(db: &Database) {
    static MADE: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().expect("a list");
    // A server keeps the zone as it was when it was first used.
    if made.contains(&db.server.port) {
        return;
    }
    made.push(db.server.port);
    for sql in [
        "REPLACE INTO mysql.time_zone VALUES (9001, 'N')",
        "REPLACE INTO mysql.time_zone_transition_type VALUES (9001, 0, 3600, 0, 'CET'), (9001, 1, 7200, 1, 'CEST')",
        "REPLACE INTO mysql.time_zone_transition VALUES (9001, 1774746000, 1), (9001, 1792890000, 0)",
        "REPLACE INTO mysql.time_zone_name VALUES ('Test/Clocks', 9001)",
    ] {
        db.sql(sql);
    }
}
