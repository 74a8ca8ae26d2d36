//! Options of a session: the server, the account, and the settings that apply
//! before a statement runs.

use std::{fmt, net::IpAddr, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::tls_options::{CleartextPlugin, TlsOptions};

/// The timeout of [`ConnectOptions`] for connecting and logging in.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a server and to log in. `Debug` does not show the password.
///
/// A server on this machine needs no encryption:
///
/// ```
/// use std::time::Duration;
///
/// use gold_digger::source::ConnectOptions;
///
/// let server = ConnectOptions::socket("/run/mysqld/mysqld.sock")
///     .user("reader")
///     .password("secret")
///     .database("shop")
///     .read_timeout(Duration::from_secs(60));
/// assert_eq!(server.connect_timeout, Duration::from_secs(10));
/// ```
///
/// On another machine, `tls` should verify the server's certificate. A program
/// calls [`install_tls_provider`](super::install_tls_provider) once before its
/// first connection with TLS:
///
/// ```
/// use gold_digger::source::{
///     ConnectOptions, install_tls_provider,
///     tls_options::{Authorities, TlsOptions, Verification},
/// };
///
/// install_tls_provider();
/// let server = ConnectOptions::tcp("db.example", 3306)
///     .user("reader")
///     .password("secret")
///     .tls(TlsOptions {
///         verification: Verification::Identity(Authorities::BuiltIn),
///         client: None,
///     });
/// assert!(!format!("{server:?}").contains("secret"));
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The server's address.
    pub endpoint: Endpoint,
    /// The account's user name. An empty name is the anonymous account.
    pub user: String,
    /// The account's password. `None`: the account has none.
    pub password: Option<SecretString>,
    /// The default database. `None`: the statements name their databases.
    pub database: Option<String>,
    /// The encryption of the connection. `None`: everything travels in plain text,
    /// so that everybody on the way can read and change the rows.
    pub tls: Option<TlsOptions>,
    /// The server's RSA key (the DER form of its SubjectPublicKeyInfo). The plugins
    /// `caching_sha2_password` and `sha256_password` encrypt the password by it in
    /// a connection without TLS. `None`: the login fails if a server that is not
    /// local needs the key, because an attacker on the way could send another one.
    pub server_public_key: Option<Vec<u8>>,
    /// Whether the server may get the password unencrypted by the plugin
    /// `mysql_clear_password`.
    pub cleartext_plugin: CleartextPlugin,
    /// The compression of the protocol.
    pub compression: Compression,
    /// The most time for name resolution, connecting and login together.
    pub connect_timeout: Duration,
    /// The most time that the server may send nothing, also before the first row,
    /// or accept nothing. `None`: no limit; TCP keepalive notices a server that has
    /// vanished after two minutes.
    pub read_timeout: Option<Duration>,
}

impl ConnectOptions {
    /// Options for the server at `host` and `port`. `host` is a name, an IPv4 or an
    /// IPv6 address, the latter without brackets.
    ///
    /// The defaults are: an empty user name, no password, no database, a connect
    /// timeout of 10 seconds, no read timeout, no compression, and **no
    /// encryption**. Call [`tls`](Self::tls) for every host but this one: without
    /// it, the rows travel in plain text and the server is not verified.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self::new(Endpoint::Tcp { host, port })
    }

    /// Options for the server at the Unix socket `path`. The defaults are those of
    /// [`tcp`](Self::tcp). A socket does not leave the machine and needs no
    /// encryption.
    pub fn socket(path: impl Into<String>) -> Self {
        Self::new(Endpoint::Socket(path.into()))
    }

    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            user: String::new(),
            password: None,
            database: None,
            tls: None,
            server_public_key: None,
            cleartext_plugin: CleartextPlugin::default(),
            compression: Compression::default(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            read_timeout: None,
        }
    }

    /// Sets the account's user name.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the account's password.
    #[must_use]
    pub fn password(mut self, password: impl Into<SecretString>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the default database.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Encrypts the connection, and verifies the server as `tls` says.
    ///
    /// [`install_tls_provider`](super::install_tls_provider) must have been called
    /// before the connection is opened.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the most time for name resolution, connecting and login together.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the most time that the server may send nothing, also before the first
    /// row, or accept nothing.
    #[must_use]
    pub const fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = Some(timeout);
        self
    }
}

/// Compression of the protocol (MySQL manual, "Connection Compression Control").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// zlib, if the server supports it. If it does not,
    /// [`QueryExecutor::warnings_of_session`](super::QueryExecutor::warnings_of_session)
    /// says so.
    Zlib,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host and a port.
    Tcp {
        /// A name, an IPv4 or an IPv6 address, the latter without brackets.
        host: String,
        /// The port number.
        port: u16,
    },
    /// The path of a Unix socket.
    Socket(String),
}

impl Endpoint {
    /// Whether it is a host and a port.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// Whether the connection stays on this machine: the endpoint is a Unix socket,
    /// `localhost`, or a loopback address. Of the addresses of `localhost`, only
    /// loopback addresses are used.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp { host, .. } => {
                let address = host.parse::<IpAddr>();
                host.eq_ignore_ascii_case("localhost")
                    || address.is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

/// `host:port`, `[address]:port` for IPv6, or the path of the socket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// The wire protocol of a statement's rows (MySQL internals, "Text Protocol" and
/// "Prepared Statements"). Both return the same values; FLOAT is the exception
/// that `docs/types.md` describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Binary for SELECT, WITH, VALUES, TABLE and CALL where the server can, else text
    #[default]
    Auto,
    /// The server formats every value
    Text,
    /// The statement is prepared, and this program formats; an error where that cannot be
    Binary,
}

/// The settings of a session that apply before its statement runs. The default is
/// read-only, in the server's time zone, without a timeout for statements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whether statements may write.
    pub access: Access,
    /// The session's `time_zone`, in which TIMESTAMP values are returned: an offset
    /// such as `+00:00`, or a name from the server's time zone tables. `None`: the
    /// server's time zone.
    pub time_zone: Option<String>,
    /// Statements that run when the session begins and whenever it is
    /// [reset](super::QueryExecutor::reset_session), after it became read-only.
    /// Their rows are discarded.
    pub init: Vec<String>,
    /// The most time that the server may run a statement (`max_execution_time` of
    /// MySQL, `max_statement_time` of MariaDB). `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// What it means that the server warns of altered values.
    pub warnings: WarningPolicy,
}

/// What it means that the server warns of values that it has altered, or that this
/// cannot be known. A result from which rows or whole values are missing is always
/// an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WarningPolicy {
    /// The export succeeds, with a warning.
    #[default]
    Report,
    /// The export fails.
    Fail,
}

/// Whether statements of a session may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The server refuses statements that write (SET SESSION TRANSACTION READ
    /// ONLY). This prevents accidents and is no sandbox: a statement can make the
    /// session writable again.
    #[default]
    ReadOnly,
    /// A statement may do everything that the account may do.
    ReadWrite,
}

/// The state of the server that the statements of a run read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotMode {
    /// Each statement reads the state when it begins.
    #[default]
    None,
    /// All statements read one snapshot. On several connections, the server's GTIDs
    /// or its binary log must prove that it is the same.
    Compared,
    /// All statements read one snapshot. On several connections, a brief global
    /// read lock ensures that it is the same.
    Locked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_only_by_default() {
        assert_eq!(SessionOptions::default().access, Access::ReadOnly);
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let options = ConnectOptions::socket("/s").user("u").password("hunter2");
        let shown = format!("{options:?}");
        assert!(
            shown.contains("\"/s\"") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
