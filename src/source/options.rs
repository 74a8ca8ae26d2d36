//! What a session is made from: the server, the account, and what is set before
//! a statement runs.

use std::{fmt, net::IpAddr, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::tls_options::{CleartextPlugin, TlsOptions};

/// Where the server is and who logs in. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The server's address.
    pub endpoint: Endpoint,
    /// The account's name.
    pub user: String,
    /// The account's password, if it has one.
    pub password: Option<SecretString>,
    /// The default database.
    pub database: Option<String>,
    /// How the bytes are encrypted, if they are.
    pub tls: Option<TlsOptions>,
    /// The server's RSA key (the DER form of its SubjectPublicKeyInfo), which
    /// encrypts the password where nothing else is encrypted.
    pub server_public_key: Option<Vec<u8>>,
    /// Whether the server may have the password itself.
    pub cleartext_plugin: CleartextPlugin,
    /// Whether the bytes are compressed.
    pub compression: Compression,
    /// How long connecting and logging in may take together.
    pub connect_timeout: Duration,
    /// How long the server may be silent.
    pub read_timeout: Option<Duration>,
}

/// Compression of the protocol (MySQL manual, "Connection Compression Control").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Bytes travel as they are.
    #[default]
    None,
    /// zlib, where the server can.
    Zlib,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address and a port.
    Tcp {
        /// Name, IPv4 or IPv6 address, the latter without brackets.
        host: String,
        /// Port number.
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

    /// Whether the bytes stay on this machine: a socket, `localhost`, or a
    /// loopback address.
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

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// The wire protocol of a statement's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Binary for SELECT, WITH, VALUES and TABLE where the server can, else text
    #[default]
    Auto,
    /// The server formats every value
    Text,
    /// The statement is prepared, and this program formats; an error where that cannot be
    Binary,
}

/// What is set in a session before the statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// What the session may do.
    pub access: Access,
    /// The time zone that TIMESTAMP values are shown in; none is the server's.
    pub time_zone: Option<String>,
    /// Statements that run before it.
    pub init: Vec<String>,
    /// How long the server may work on it.
    pub statement_timeout: Option<Duration>,
}

/// What the session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The server refuses statements that write. A guard against accidents, not
    /// a sandbox.
    ReadOnly,
    /// Whatever the account may do.
    ReadWrite,
}

/// Which state of the server the statements of a run read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotMode {
    /// Each statement reads its own.
    #[default]
    None,
    /// All read one snapshot, which the server's GTIDs or its binary log prove.
    Compared,
    /// All read one snapshot, which a brief global read lock ensures.
    Locked,
}
