//! One connection by the driver: the options that the rest of this program relies
//! on, and the first statements.

use std::{collections::HashMap, io, path::PathBuf, time::Duration};

use mysql::{Conn, OptsBuilder};
use secrecy::ExposeSecret;

use super::{
    super::{
        driver,
        options::{Compression, ConnectOptions, Endpoint},
        tls::{self, MemFd, Tampering, TlsSetup, pem},
        tls_options::CleartextPlugin,
    },
    Purpose, SET_NAMES, Session, SocketMark,
    addresses::Attempt,
    deadline::set_write_timeout,
};

/// The largest packet in bytes, which is the protocol's own limit (MySQL manual,
/// "Packet Too Large").
const MAX_PACKET: usize = 1 << 30;

/// The idle time in milliseconds before the first TCP keepalive probe. With the
/// two values below, a peer that has vanished is noticed after two minutes.
const KEEPALIVE_TIME_MS: u32 = 60_000;

/// The time in seconds between two keepalive probes.
const KEEPALIVE_INTERVAL_S: u32 = 10;

/// The number of unanswered keepalive probes that end the connection.
const KEEPALIVE_PROBES: u32 = 6;

/// A connection about to be opened, with everything that must outlive its
/// opening.
pub(super) struct ConnectRequest {
    options: OptsBuilder,
    tls: Option<TlsSetup>,
    database: Option<String>,
    read_timeout: Option<Duration>,
    /// What its socket is marked by while it is opened.
    pub mark: SocketMark,
    _server_key: Option<MemFd>,
}

impl ConnectRequest {
    /// # Errors
    /// The system's, if certificates or keys cannot be held in memory.
    pub fn new(
        connection: &ConnectOptions,
        attempt: &Attempt,
        timeout: Duration,
    ) -> io::Result<Self> {
        let tls = connection.tls.as_ref().map(TlsSetup::new).transpose()?;
        let server_key = connection.server_public_key.as_deref();
        let server_key = server_key.map(|key| pem("PUBLIC KEY", &[key]));
        let server_key = server_key.map(|key| MemFd::new(key.as_bytes()));
        let server_key = server_key.transpose()?;
        let key_path = match &server_key {
            Some(file) => Some(file.path()),
            None if connection.endpoint.is_local() => None,
            // Without a path, the driver encrypts the password by any RSA key
            // that the server sends, also one that an attacker has put in its
            // place. A folder cannot be read as a key, which ends the login.
            None => Some(PathBuf::from("/")),
        };
        let mark = SocketMark::new();
        let options = options(connection, attempt, timeout)
            .write_timeout(Some(mark.write_timeout()))
            .ssl_opts(tls.as_ref().map(|tls| tls.options.clone()))
            .server_key_path(key_path);
        Ok(Self {
            options,
            tls,
            database: connection.database.clone(),
            read_timeout: connection.read_timeout,
            mark,
            _server_key: server_key,
        })
    }

    /// Connects and logs in. For an export, it also sets the character set and
    /// verifies a TLS channel.
    pub fn open(self, purpose: Purpose) -> mysql::Result<Result<Session, Tampering>> {
        if let Some(tls) = &self.tls {
            tls.install();
        }
        let mark = self.mark;
        let mut conn = Conn::new(self.options)?;
        if purpose == Purpose::Kill {
            let id = conn.connection_id();
            return Ok(Ok(Session { conn, id, mark }));
        }
        // A server can ignore the character set of the handshake (MySQL manual,
        // "Connection Character Sets and Collations",
        // --skip-character-set-client-handshake).
        driver::run(&mut conn, SET_NAMES)?;
        let mut id = conn.connection_id();
        if self.tls.is_some() {
            id = match tls::verify_channel(&mut conn)? {
                Ok(id) => id,
                Err(tampering) => return Ok(Err(tampering)),
            };
            if let Some(database) = &self.database {
                conn.select_db(database)?;
            }
        }
        if let Some(timeout) = self.read_timeout {
            // A server that does not read is silent too.
            set_write_timeout(&conn, timeout)?;
        }
        Ok(Ok(Session { conn, id, mark }))
    }
}

fn options(connection: &ConnectOptions, attempt: &Attempt, timeout: Duration) -> OptsBuilder {
    let attributes = HashMap::from([("program_name", env!("CARGO_PKG_NAME"))]);
    let builder = OptsBuilder::new()
        .user(Some(connection.user.as_str()))
        .pass(
            connection
                .password
                .as_ref()
                .map(ExposeSecret::expose_secret),
        )
        .db_name(connection.database.as_deref())
        .connect_attrs(Some(attributes))
        // By default, the driver leaves every loopback connection for the Unix
        // socket that the server names: past proxies and tunnels, perhaps to
        // another server. It asks for that socket, as for the server's packet
        // limit below, by a function that can panic twice, which ends the process
        // (see `driver::for_each`).
        .prefer_socket(false)
        .stmt_cache_size(0)
        // By default, the driver takes the server's own limit as the client's.
        .max_allowed_packet(Some(MAX_PACKET))
        .compress(match connection.compression {
            Compression::None => None,
            // The level applies to packets to the server, which chooses its own.
            Compression::Zlib => Some(mysql::Compression::fast()),
        })
        .enable_cleartext_plugin(connection.cleartext_plugin == CleartextPlugin::Allow)
        .read_timeout(connection.read_timeout)
        .tcp_connect_timeout(Some(timeout))
        .tcp_keepalive_time_ms(Some(KEEPALIVE_TIME_MS))
        .tcp_keepalive_probe_interval_secs(Some(KEEPALIVE_INTERVAL_S))
        .tcp_keepalive_probe_count(Some(KEEPALIVE_PROBES));
    match &connection.endpoint {
        Endpoint::Socket(path) => builder.socket(Some(path.as_str())),
        Endpoint::Tcp { port, .. } => builder
            .ip_or_hostname(Some(attempt.host.as_str()))
            .tcp_port(*port)
            .bind_address(attempt.bind),
    }
}
