//! Why no session could be opened: what the server, the driver or TLS reported,
//! and what to do about it.

mod tls;

use std::io;

use mysql::{DriverError, MySqlError, error::tls::TlsError};
use secrecy::ExposeSecret;

use super::{
    codes,
    errors::{describe, io_error},
    options::{ConnectOptions, Endpoint},
    tls::Tampering,
};
use crate::error::{Error, ErrorKind, Retry};

/// The longest password in bytes that the RSA key of a server with 2048 bits, the
/// default, encrypts: 256 bytes less 42 of padding (RFC 8017, section 7.1.1), less
/// the terminating zero.
const MAX_RSA_PASSWORD: usize = 213;

const GIVE_A_PASSWORD: &str = "--ask-password, --password-file or ~/.my.cnf gives one";

pub(super) const PASSWORD_EXPIRED: &str = "the account's password has expired";
pub(super) const PASSWORD_EXPIRED_HINT: &str =
    "set a new one with the mysql client: ALTER USER USER() IDENTIFIED BY '…'";

/// Why no session could be opened.
pub(super) struct ConnectError {
    /// What happened.
    what: String,
    /// What to do next.
    hint: String,
    /// Whether another attempt may succeed.
    retry: Retry,
    /// Whether the server has answered: then its other addresses would give the
    /// same answer.
    pub server_answered: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ConnectError {
    /// A permanent error after an answer of the server.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            hint: hint.into(),
            retry: Retry::Never,
            server_answered: true,
            source: None,
        }
    }

    /// An address that could not be reached.
    fn unreachable(what: String) -> Self {
        Self {
            server_answered: false,
            ..Self::new(what, "is the server running, and is the address right?").transient()
        }
    }

    /// Replaces what happened.
    pub fn with_what(mut self, what: &str) -> Self {
        what.clone_into(&mut self.what);
        self
    }

    /// Marks the error as transient.
    pub const fn transient(mut self) -> Self {
        self.retry = Retry::Later;
        self
    }

    /// Keeps the error that caused this one.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Explains the driver's `error` and keeps it as the source.
    pub fn from_driver(error: mysql::Error, connection: &ConnectOptions) -> Self {
        explain(&error, connection).with_source(error)
    }

    /// Explains the proof that an attacker is on the way.
    pub fn from_tampering(tampering: Tampering) -> Self {
        let what = match tampering {
            Tampering::Injected => {
                "the first answer over TLS is not the server's: somebody on the way has slipped one in"
            }
            Tampering::Modified => {
                "the session is not the one that was asked for: somebody on the way has altered the request for TLS"
            }
        };
        Self::new(
            what,
            "nothing was asked of it; find out who is between you and the server",
        )
    }

    /// Explains a panic of the driver.
    pub fn from_driver_panic(connection: &ConnectOptions) -> Self {
        let password = connection.password.as_ref();
        let length = password.map_or(0, |password| password.expose_secret().len());
        let (what, hint) = if length == 0 {
            (
                "the login broke off, and no password was given",
                GIVE_A_PASSWORD,
            )
        } else if length > MAX_RSA_PASSWORD && connection.tls.is_none() {
            (
                "the password is too long for the server's RSA key",
                "--tls verify-identity, or the Unix socket, takes any",
            )
        } else {
            (
                "the server's answers break the protocol",
                "is that address a MySQL or MariaDB server?",
            )
        };
        Self::new(what, hint)
    }

    /// Returns the error of a run, which names the server and the account of
    /// `connection`.
    pub fn into_error(self, connection: &ConnectOptions) -> Error {
        let what = format!(
            "cannot connect to {} as {:?}: {}",
            connection.endpoint, connection.user, self.what
        );
        let error = Error::new(ErrorKind::Connect, what)
            .with_hint(self.hint)
            .with_retry(self.retry);
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

/// Whether the server says that user and password do not match an account.
pub(super) fn is_access_denied(error: &mysql::Error) -> bool {
    matches!(error, mysql::Error::MySqlError(server) if server.code == codes::ACCESS_DENIED)
}

fn explain(error: &mysql::Error, connection: &ConnectOptions) -> ConnectError {
    if let Some(error) = tls_error(error) {
        return tls::from_tls(error, connection);
    }
    match error {
        mysql::Error::MySqlError(server) => from_server(server, connection),
        mysql::Error::DriverError(driver) => from_driver(driver, connection),
        mysql::Error::TlsError(TlsError::InvalidDnsName(_)) => ConnectError::new(
            "no certificate can be for a host of that name",
            "--tls verify-ca --tls-ca-file FILE checks only who issued it",
        ),
        mysql::Error::IoError(error) if is_withheld_key(error) => ConnectError::new(
            "the server wants the password by a key of its own, which nobody on the way must have replaced",
            "--tls verify-identity encrypts all; or name a copy of the server's key: --server-public-key FILE",
        ),
        error => ConnectError::unreachable(describe(error)),
    }
}

/// Whether the driver tried to read a folder as the server's RSA key, which
/// `connect::request` gives it when no key was configured.
fn is_withheld_key(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::IsADirectory
}

/// Returns the TLS error within a driver's, at any depth.
fn tls_error(error: &mysql::Error) -> Option<&rustls::Error> {
    if let mysql::Error::TlsError(TlsError::Tls(error)) = error {
        return Some(error);
    }
    io_error(error)?.get_ref()?.downcast_ref()
}

/// What a server's error at the login means, and what to do about it, by its
/// codes. Errors whose text depends on the connection are in [`from_server`].
const SERVER_REFUSALS: [(&[u16], &str, &str); 14] = [
    (
        &[codes::DATABASE_ACCESS_DENIED],
        "the account may not use that database",
        "check the database's name, and what is granted to the account",
    ),
    (
        &[codes::UNKNOWN_DATABASE],
        "there is no such database",
        "check the database's name",
    ),
    (
        &[codes::HOST_NOT_PRIVILEGED],
        "the server serves no account from this machine",
        "an account is for certain hosts; an administrator can make one for this",
    ),
    (
        &[codes::HOST_BLOCKED],
        "the server has blocked this machine after too many failed connections",
        "an administrator lifts that: FLUSH HOSTS, or TRUNCATE TABLE performance_schema.host_cache",
    ),
    (
        &[codes::TOO_MANY_CONNECTIONS],
        "the server has all the connections that it allows",
        "try again later, or raise its max_connections",
    ),
    (
        &[codes::TOO_MANY_USER_CONNECTIONS, codes::USER_LIMIT_REACHED],
        "the account has used up what it is allowed",
        "try again later, or have its limits raised",
    ),
    (
        &[
            codes::MUST_CHANGE_PASSWORD,
            codes::MUST_CHANGE_PASSWORD_LOGIN,
        ],
        PASSWORD_EXPIRED,
        PASSWORD_EXPIRED_HINT,
    ),
    (
        &[codes::ACCOUNT_LOCKED_MYSQL, codes::ACCOUNT_LOCKED_MARIADB],
        "the account is locked",
        "an administrator unlocks it: ALTER USER … ACCOUNT UNLOCK",
    ),
    (
        &[codes::SECURE_TRANSPORT_REQUIRED],
        "the server wants encrypted connections only",
        "--tls verify-identity encrypts",
    ),
    (
        &[codes::INIT_CONNECT_FAILED],
        "the server's own statements for new sessions failed",
        "an administrator mends or empties its init_connect; the server's log says what is wrong",
    ),
    (
        &[codes::NET_READ_TIMEOUT, codes::CLIENT_INTERACTION_TIMEOUT],
        "the server has waited for us too long",
        "try again; is the network slow?",
    ),
    (
        &[codes::PLUGIN_NOT_LOADED],
        "the server does not have what the account logs in by",
        "an administrator changes that: ALTER USER … IDENTIFIED WITH caching_sha2_password BY '…'",
    ),
    (
        &[codes::OLD_AUTH_MODE, codes::SECURE_AUTH_MODE],
        "the account's password is kept in a form that is too old",
        "an administrator sets it anew: SET PASSWORD, or ALTER USER … IDENTIFIED BY '…'",
    ),
    (
        &[codes::SERVER_SHUTDOWN],
        "the server is shutting down",
        "try again when it is back",
    ),
];

/// The texts for every other error of a server at the login.
const OTHER_REFUSAL: (&str, &str) = (
    "the server refused",
    "check the user, its password, and the database's name",
);

/// The server's own errors of a login (MySQL manual, "Server Error Message
/// Reference"; MariaDB's documentation, "MariaDB Error Codes").
fn from_server(server: &MySqlError, connection: &ConnectOptions) -> ConnectError {
    let (what, hint) = match server.code {
        codes::ACCESS_DENIED if connection.password.is_none() => (
            "the login was refused, and no password was given",
            GIVE_A_PASSWORD.to_owned(),
        ),
        codes::ACCESS_DENIED => ("the login was refused", what_to_check(connection)),
        codes::UNIX_USER_DENIED => (
            "the login was refused",
            format!(
                "the account is for the Unix user of its name alone, by --socket: are you {}?",
                connection.user
            ),
        ),
        code => {
            let mut known = SERVER_REFUSALS.iter();
            let known = known.find(|(codes, ..)| codes.contains(&code));
            let (what, hint) = known.map_or(OTHER_REFUSAL, |&(_, what, hint)| (what, hint));
            (what, hint.to_owned())
        }
    };
    let error = describe(&mysql::Error::MySqlError(server.clone()));
    let described = ConnectError::new(format!("{what}: {error}"), hint);
    if codes::TRANSIENT_AT_LOGIN.contains(&server.code) {
        return described.transient();
    }
    described
}

/// Returns the hint for a login that a server refuses without a reason.
fn what_to_check(connection: &ConnectOptions) -> String {
    let mut hint =
        "check the user and the password, and from which hosts the account may log in".to_owned();
    match (&connection.tls, &connection.endpoint) {
        (None, Endpoint::Tcp { .. }) => {
            hint += "; does the account require TLS? --tls verify-identity asks for it";
            if connection.server_public_key.is_some() {
                hint += "; is the key of --server-public-key this server's?";
            }
        }
        (Some(tls), _) if tls.client.is_none() => {
            hint += "; does it require a certificate? --tls-cert and --tls-key show one";
        }
        _ => {}
    }
    hint
}

fn from_driver(driver: &DriverError, connection: &ConnectOptions) -> ConnectError {
    match driver {
        DriverError::CouldNotConnect(Some((_, what, kind))) => {
            let error = ConnectError::unreachable(what.clone());
            let retry = match kind {
                // For example, this user may not use the socket.
                io::ErrorKind::PermissionDenied => Retry::Never,
                _ => error.retry,
            };
            ConnectError { retry, ..error }
        }
        DriverError::CouldNotConnect(None) | DriverError::ConnectTimeout => {
            ConnectError::unreachable(driver.to_string())
        }
        DriverError::TlsNotSupported => ConnectError::new(
            "the server does not speak TLS",
            "it was told nothing; --tls disabled sends all in plain text",
        ),
        DriverError::CleartextPluginDisabled => cleartext_refused(connection),
        DriverError::UnknownAuthPlugin(name) if name == "mysql_clear_password" => {
            cleartext_refused(connection)
        }
        DriverError::OldMysqlPasswordDisabled => unknown_plugin("mysql_old_password"),
        DriverError::UnknownAuthPlugin(name) => unknown_plugin(name),
        driver => ConnectError::new(
            driver.to_string(),
            "is that address a MySQL or MariaDB server?",
        ),
    }
}

fn cleartext_refused(connection: &ConnectOptions) -> ConnectError {
    let verified = connection
        .tls
        .as_ref()
        .is_some_and(|tls| tls.verification.authorities().is_some());
    ConnectError::new(
        "the server wants the password itself (mysql_clear_password), and does not get it",
        if verified {
            "--enable-cleartext-plugin gives it; do so only if the account logs in by PAM or LDAP"
        } else {
            "only a server whose certificate is verified may have it: --tls verify-identity --enable-cleartext-plugin"
        },
    )
}

fn unknown_plugin(name: &str) -> ConnectError {
    ConnectError::new(
        format!("the account logs in by the plugin {name:?}, which this program does not have"),
        // MySQL does so to hide which accounts exist.
        "is the user right? MySQL makes up a plugin for users that it does not know; \
         this program has caching_sha2_password, mysql_native_password, client_ed25519, parsec and unix_socket",
    )
}
