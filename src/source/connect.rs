//! Reaching a server: every address of its name, one deadline for all of it,
//! and the driver's options that the rest relies on.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use mysql::{Conn, OptsBuilder};
use mysql_common::proto::codec::error::PacketCodecError;
use secrecy::ExposeSecret;

use super::{
    driver::{self, Panicked, contain},
    options::{Compression, ConnectOptions, Endpoint},
    refusal::{self, Answered, ConnectError},
    tls::{self, MemoryFile, Preparation, Tampering, pem},
    tls_options::{CleartextPlugin, TlsOptions, Verification},
};
use crate::error::{Error, ErrorKind, Result};

/// The protocol's own limit for a packet (MySQL manual, "Packet Too Large").
const MAX_PACKET: usize = 1 << 30;

/// A server that has gone without a word is noticed after about two minutes:
/// milliseconds of silence before the first probe, seconds between probes, and
/// how many go unanswered.
const KEEPALIVE: (u32, u32, u32) = (60_000, 10, 6);

/// An open session, and the connection's id as the server knows it.
pub(super) struct Session {
    pub conn: Conn,
    pub id: u32,
}

/// Opens a session within `timeout`; whatever its statements bring comes as
/// UTF-8, and over TLS from the server itself.
///
/// # Errors
/// [`ErrorKind::Connect`], naming the address and what to look at.
pub(super) fn connect(connection: &ConnectOptions, timeout: Duration) -> Result<Session> {
    let deadline = Instant::now() + timeout;
    let place = format!(
        "cannot connect to {} as {:?}",
        connection.endpoint, connection.user
    );
    let failed = |refusal: ConnectError| {
        let what = format!("{place}: {}", refusal.what);
        let error = Error::new(ErrorKind::Connect, what)
            .with_hint(refusal.hint)
            .with_retry(refusal.retry);
        match refusal.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    };
    let too_late = || {
        let refusal = ConnectError::new(
            format!("no answer within {} s", timeout.as_secs_f64()),
            "is that address a MySQL or MariaDB server, and does a firewall let you through?",
        );
        failed(refusal.passing())
    };

    if connection.tls.is_some() && !tls::is_provider_installed() {
        return Err(failed(ConnectError::new(
            "this process checks certificates in another way",
            "call gold_digger::source::install_tls_provider() before anything else uses rustls",
        )));
    }
    let attempts = match &connection.endpoint {
        Endpoint::Socket(path) => vec![Attempt {
            host: path.clone(),
            bind: None,
            addresses: 1,
        }],
        Endpoint::Tcp { host, port } => {
            let name = (host.clone(), *port);
            let resolved = within(timeout, move || {
                name.to_socket_addrs().map(Iterator::collect::<Vec<_>>)
            });
            let mut resolved = resolved.ok_or_else(too_late)?.map_err(|error| {
                // Names appear late too, as those of containers.
                let what = error.to_string();
                failed(
                    ConnectError::new(what, "is the host's name right?")
                        .passing()
                        .with_source(error),
                )
            })?;
            if connection.endpoint.is_local() {
                // What is thought to stay on this machine must.
                resolved.retain(|address| address.ip().is_loopback());
            }
            if resolved.is_empty() {
                let what = format!("{host} does not lead to this machine");
                return Err(failed(ConnectError::new(
                    what,
                    "name 127.0.0.1, or see /etc/hosts",
                )));
            }
            attempts(connection.tls.as_ref(), host, &resolved)
        }
    };
    let mut last = None;
    let mut left: u32 = attempts.iter().map(|attempt| attempt.addresses).sum();
    for attempt in &attempts {
        // One address that swallows everything must not use up the others' time.
        let each = deadline.saturating_duration_since(Instant::now()) / left;
        left -= attempt.addresses;
        match open(connection, attempt, each) {
            Ok(session) => return Ok(session),
            Err(Failure::Final(refusal)) => return Err(failed(refusal)),
            Err(Failure::Unreached(refusal)) => {
                last = Some(match attempt.bind {
                    None => refusal,
                    // The driver tells only of the last one, and not even why.
                    Some(_) => ConnectError {
                        what: "none of its addresses could be reached".to_owned(),
                        ..refusal
                    },
                });
            }
            Err(Failure::TooLate) => {}
        }
    }
    Err(last.map_or_else(too_late, failed))
}

/// Why there is no session by one attempt.
enum Failure {
    /// Another attempt would end in the same way.
    Final(ConnectError),
    /// Another address may answer.
    Unreached(ConnectError),
    /// There was no answer in time.
    TooLate,
}

/// Opens a session by `attempt`, which may take `each` for an address.
///
/// A login by client_ed25519 or PARSEC is tried a second time: the driver cuts
/// the server's challenge short where its last byte happens to be zero, once in
/// 256 logins, and then answers the wrong one, or panics.
fn open(
    connection: &ConnectOptions,
    attempt: &Attempt,
    each: Duration,
) -> Result<Session, Failure> {
    let deadline = Instant::now() + each * attempt.addresses;
    // Why the first try failed, where a second one is made.
    let mut first = None;
    loop {
        let dial = Dial::new(connection, attempt, each).map_err(|error| {
            Failure::Final(
                ConnectError::new(
                    format!("the certificates cannot be handed on in memory: {error}"),
                    "is /proc mounted?",
                )
                .with_source(error),
            )
        })?;
        let left = deadline.saturating_duration_since(Instant::now());
        // The driver panics on some greetings that break the protocol.
        let opened = within(left, || contain(|| dial.open())).ok_or(Failure::TooLate)?;
        let may_try_again = connection.password.is_some() && first.is_none();
        let (failure, is_spoilt) = match opened {
            Ok(Ok(Ok(session))) => return Ok(session),
            Ok(Ok(Err(tampering))) => return Err(Failure::Final(refusal::of_tampering(tampering))),
            Ok(Err(error)) => {
                let is_spoilt = matches!(&error, mysql::Error::MySqlError(server)
                    if refusal::is_denial(server)
                        && may_try_again
                        && is_mariadb(connection, attempt, deadline));
                let failure = match refusal::explain(error, connection) {
                    (refusal, Answered::Yes) => Failure::Final(refusal),
                    (refusal, Answered::No) => Failure::Unreached(refusal),
                };
                (failure, is_spoilt)
            }
            Err(Panicked) => match first {
                // What the server has said is more than a panic tells.
                Some(first) => return Err(first),
                None => (
                    Failure::Unreached(refusal::broken_protocol(connection)),
                    true,
                ),
            },
        };
        if !(is_spoilt && may_try_again) {
            return Err(failure);
        }
        first = Some(failure);
    }
}

/// Whether a MariaDB greets there: the version that it tells ends in its name.
fn is_mariadb(connection: &ConnectOptions, attempt: &Attempt, deadline: Instant) -> bool {
    let (endpoint, host) = (connection.endpoint.clone(), attempt.host.clone());
    let left = deadline.saturating_duration_since(Instant::now());
    let greeting = within(left, move || {
        let mut greeting = Vec::new();
        match endpoint {
            Endpoint::Socket(path) => UnixStream::connect(path)?
                .take(GREETING)
                .read_to_end(&mut greeting),
            Endpoint::Tcp { port, .. } => {
                let host = host.trim_matches(['[', ']']);
                TcpStream::connect((host, port))?
                    .take(GREETING)
                    .read_to_end(&mut greeting)
            }
        }?;
        io::Result::Ok(greeting)
    });
    let is_named = |greeting: Vec<u8>| String::from_utf8_lossy(&greeting).contains("MariaDB");
    greeting.is_some_and(|greeting| greeting.is_ok_and(is_named))
}

/// As much of a server's greeting as every server sends: the version stands at
/// its beginning.
const GREETING: u64 = 64;

/// One way to reach the server.
struct Attempt {
    /// What the driver connects to, and whose name the certificate must have.
    host: String,
    /// The address that is bound before, which makes the driver try all the
    /// host's addresses of that family.
    bind: Option<SocketAddr>,
    /// How many addresses it tries.
    addresses: u32,
}

/// The ways to reach `host`, which has these addresses: each by itself; but
/// where the certificate must be for the host, the driver must be told its name.
/// It then gives up at the first address that fails, unless it binds one before.
fn attempts(tls: Option<&TlsOptions>, host: &str, resolved: &[SocketAddr]) -> Vec<Attempt> {
    let by_name = tls.is_some_and(|tls| matches!(tls.verification, Verification::Identity(_)));
    let attempt = |host: String, bind, addresses| Attempt {
        host,
        bind,
        addresses: u32::try_from(addresses).unwrap_or(u32::MAX),
    };
    if !by_name || host.parse::<IpAddr>().is_ok() {
        let each = |address: &SocketAddr| attempt(literal(*address), None, 1);
        return resolved.iter().map(each).collect();
    }
    if resolved.len() == 1 {
        return vec![attempt(host.to_owned(), None, 1)];
    }
    let families = [
        (Ipv6Addr::UNSPECIFIED.into(), true),
        (Ipv4Addr::UNSPECIFIED.into(), false),
    ];
    let mut attempts: Vec<Attempt> = families
        .into_iter()
        .map(|(any, is_v6): (IpAddr, bool)| {
            let of_family = resolved.iter().filter(|address| address.is_ipv6() == is_v6);
            attempt(host.to_owned(), Some((any, 0).into()), of_family.count())
        })
        .filter(|attempt| attempt.addresses > 0)
        .collect();
    // The system has sorted them, best first (RFC 6724).
    if resolved.first().is_some_and(SocketAddr::is_ipv4) {
        attempts.reverse();
    }
    attempts
}

/// As the driver takes addresses.
fn literal(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        // Of one of this machine's networks, where that matters.
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            format!("{}%{}", address.ip(), address.scope_id())
        }
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

/// A connection about to be opened, with all that must outlive its opening.
struct Dial {
    options: OptsBuilder,
    preparation: Option<Preparation>,
    database: Option<String>,
    _server_key: Option<MemoryFile>,
}

impl Dial {
    fn new(connection: &ConnectOptions, attempt: &Attempt, timeout: Duration) -> io::Result<Self> {
        let preparation = connection.tls.as_ref().map(Preparation::new).transpose()?;
        let server_key = connection.server_public_key.as_deref();
        let server_key = server_key.map(|key| pem("PUBLIC KEY", &[key]));
        let server_key = server_key.map(|key| MemoryFile::new(key.as_bytes()));
        let server_key = server_key.transpose()?;
        let key_path = match &server_key {
            Some(file) => Some(file.path()),
            None if connection.endpoint.is_local() => None,
            // Without a key, the driver encrypts the password by any that it is
            // sent. A folder cannot be read as one, which ends the login.
            None => Some(PathBuf::from("/")),
        };
        let options = options(connection, attempt, timeout)
            .ssl_opts(preparation.as_ref().map(|tls| tls.options.clone()))
            .server_key_path(key_path);
        Ok(Self {
            options,
            preparation,
            database: connection.database.clone(),
            _server_key: server_key,
        })
    }

    fn open(self) -> mysql::Result<Result<Session, Tampering>> {
        if let Some(tls) = &self.preparation {
            tls.take_effect();
        }
        let mut conn = Conn::new(self.options)?;
        // A server can ignore the handshake's character set (MySQL manual,
        // "Connection Character Sets and Collations",
        // --skip-character-set-client-handshake).
        driver::run(&mut conn, SET_NAMES)?;
        let mut id = conn.connection_id();
        if self.preparation.is_some() {
            id = match tls::prove(&mut conn)? {
                Ok(id) => id,
                Err(tampering) => return Ok(Err(tampering)),
            };
            if let Some(database) = &self.database {
                conn.select_db(database)?;
            }
        }
        Ok(Ok(Session { conn, id }))
    }
}

/// Whatever the server's and the account's own character sets are.
pub(super) const SET_NAMES: &str = "SET NAMES utf8mb4";

/// Runs `work` on a thread of its own and waits for at most `time`; `None` is
/// too late. The thread is then left behind: neither name resolution nor the
/// driver's handshake can be interrupted, and a server that sends a byte now
/// and then defeats a time-out on reads.
pub(super) fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, receive) = mpsc::sync_channel(1);
    let started = thread::Builder::new().spawn(move || {
        // Nobody listens any more when it is too late.
        let _ = send.send(work());
    });
    if let Err(error) = started {
        tracing::warn!("cannot start a thread: {error}");
    }
    receive.recv_timeout(time).ok()
}

fn options(connection: &ConnectOptions, attempt: &Attempt, timeout: Duration) -> OptsBuilder {
    let attributes = HashMap::from([("program_name", env!("CARGO_PKG_NAME"))]);
    let (keepalive, interval, probes) = KEEPALIVE;
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
        // Otherwise the driver leaves a loopback connection for the server's
        // socket, past proxies and tunnels, perhaps to another server. To ask
        // for it, as for the server's limit of packets below, it uses what may
        // panic twice (see `contain`).
        .prefer_socket(false)
        .stmt_cache_size(0)
        // Otherwise the driver takes the server's own limit as the client's.
        .max_allowed_packet(Some(MAX_PACKET))
        .compress(match connection.compression {
            Compression::None => None,
            // The level is that of our own packets; the server chooses its own.
            Compression::Zlib => Some(mysql::Compression::fast()),
        })
        .enable_cleartext_plugin(connection.cleartext_plugin == CleartextPlugin::Allow)
        .read_timeout(connection.read_timeout)
        // A server that does not read is silent too.
        .write_timeout(connection.read_timeout)
        .tcp_connect_timeout(Some(timeout))
        .tcp_keepalive_time_ms(Some(keepalive))
        .tcp_keepalive_probe_interval_secs(Some(interval))
        .tcp_keepalive_probe_count(Some(probes));
    match &connection.endpoint {
        Endpoint::Socket(path) => builder.socket(Some(path.as_str())),
        Endpoint::Tcp { port, .. } => builder
            .ip_or_hostname(Some(attempt.host.as_str()))
            .tcp_port(*port)
            .bind_address(attempt.bind),
    }
}

/// What happened, in words without the driver's own wrapping.
pub(super) fn describe(error: &mysql::Error) -> String {
    use mysql::{DriverError, Error};
    match error {
        Error::MySqlError(server) => format!(
            "server error {} ({}): {}",
            server.code, server.state, server.message
        ),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, what, _)))) => what.clone(),
        Error::DriverError(error) => error.to_string(),
        Error::CodecError(PacketCodecError::PacketTooLarge) => {
            "a row, or another packet, is longer than 1 GiB, the most that is taken".to_owned()
        }
        error => match (io_error(error), error) {
            (Some(io), _) => describe_io(io),
            (None, Error::CodecError(error)) => {
                format!("the server's data cannot be read: {error}")
            }
            (None, other) => other.to_string(),
        },
    }
}

/// The system's error within a driver's, if it is one.
pub(super) const fn io_error(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(error) | mysql::Error::CodecError(PacketCodecError::Io(error)) => {
            Some(error)
        }
        _ => None,
    }
}

/// What became of a session that worked.
pub(super) enum Trouble {
    /// The server sent nothing for as long as the read time-out allows.
    Silence,
    /// The connection is no more.
    Loss,
    /// A packet is longer than [`MAX_PACKET`].
    TooLong,
}

/// What `error` tells of the connection, if it does.
pub(super) fn trouble(error: &mysql::Error) -> Option<Trouble> {
    if let mysql::Error::CodecError(PacketCodecError::PacketTooLarge) = error {
        return Some(Trouble::TooLong);
    }
    match io_error(error)?.kind() {
        kind if is_time_out(kind) => Some(Trouble::Silence),
        // It comes so where TLS was broken into, which lasts.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => None,
        _ => Some(Trouble::Loss),
    }
}

/// A read that timed out is told by either kind (std, `set_read_timeout`).
const fn is_time_out(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        kind if is_time_out(kind) => "the server was silent for too long".to_owned(),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof
        // The codec's own, where the end comes in the midst of a packet.
        | io::ErrorKind::Other => "the connection to the server was lost".to_owned(),
        _ => format!("the connection to the server failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tls_options::Authorities;

    /// What the driver is told, for a host of these addresses.
    fn told(host: &str, verification: Option<Verification>, addresses: &[&str]) -> Vec<String> {
        let tls = verification.map(|verification| TlsOptions {
            verification,
            client: None,
        });
        let resolved: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().expect("an address"), 3306))
            .collect();
        let attempts = attempts(tls.as_ref(), host, &resolved);
        let tell = |attempt: &Attempt| {
            let bind = attempt.bind.map(|address| address.ip().to_string());
            let (host, addresses) = (&attempt.host, attempt.addresses);
            format!("{host} {} {addresses}", bind.unwrap_or_default())
        };
        attempts.iter().map(tell).collect()
    }

    #[test]
    fn the_driver_is_told_the_name_only_where_it_is_verified() {
        let identity = || Some(Verification::Identity(Authorities::BuiltIn));
        let both = ["10.0.0.1", "fe80::1", "10.0.0.2"];
        assert_eq!(
            told("db", None, &both),
            ["10.0.0.1  1", "[fe80::1]  1", "10.0.0.2  1"]
        );
        assert_eq!(told("db", identity(), &["fe80::1"]), ["db  1"]);
        assert_eq!(told("db", identity(), &both), ["db 0.0.0.0 2", "db :: 1"]);
        assert_eq!(
            told("db", identity(), &both[1..]),
            ["db :: 1", "db 0.0.0.0 1"]
        );
        assert_eq!(told("::1", identity(), &["::1"]), ["[::1]  1"]);
    }
}
