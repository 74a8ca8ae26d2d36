//! Reaching a server: every address of its name, one deadline for all of it,
//! and the driver's options that the rest relies on.

use std::{
    collections::HashMap,
    error::Error as _,
    io,
    net::{SocketAddr, ToSocketAddrs},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use mysql::{Conn, Opts, OptsBuilder};
use secrecy::ExposeSecret;

use crate::{
    config::{Compression, Connection, Endpoint},
    error::{Error, ErrorKind, Result},
};

/// The protocol's own limit for a packet (MySQL manual, "Packet Too Large").
const MAX_PACKET: usize = 1 << 30;

/// Opens a session within `timeout`.
///
/// # Errors
/// [`ErrorKind::Connect`], naming the address and what to look at.
pub(super) fn connect(connection: &Connection, timeout: Duration) -> Result<Conn> {
    let deadline = Instant::now() + timeout;
    let place = format!(
        "cannot connect to {} as {:?}",
        connection.endpoint, connection.user
    );
    let failed = |what: String, hint: &str| {
        Error::new(ErrorKind::Connect, format!("{place}: {what}")).hint(hint)
    };
    let too_late = || {
        failed(
            format!("no answer within {} s", timeout.as_secs_f64()),
            "is that address a MySQL or MariaDB server, and does a firewall let you through?",
        )
    };

    let addresses = match &connection.endpoint {
        Endpoint::Socket(_) => vec![None],
        Endpoint::Tcp { host, port } => {
            let name = (host.clone(), *port);
            let resolved = within(timeout, move || {
                name.to_socket_addrs().map(Iterator::collect::<Vec<_>>)
            });
            let resolved = resolved.ok_or_else(too_late)?;
            let resolved =
                resolved.map_err(|error| failed(error.to_string(), "is the host's name right?"))?;
            resolved.into_iter().map(Some).collect()
        }
    };
    let mut last = None;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // One address that swallows everything must not use up the others' time.
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        left -= 1;
        let options = options(connection, address, share);
        // The driver panics on some greetings that break the protocol.
        let connect = AssertUnwindSafe(|| Conn::new(options));
        match within(share, || catch_unwind(connect)) {
            Some(Ok(Ok(conn))) => return Ok(conn),
            // The server has answered: another address is the same server.
            Some(Ok(Err(error @ mysql::Error::MySqlError(_)))) => {
                return Err(failed(
                    describe(&error),
                    "check the user, its password, and the database's name",
                ));
            }
            Some(Ok(Err(error))) => last = Some(describe(&error)),
            Some(Err(_)) => last = Some("the server's greeting breaks the protocol".to_owned()),
            None => {}
        }
    }
    Err(last.map_or_else(too_late, |what| {
        failed(what, "is the server running, and is the address right?")
    }))
}

/// Runs `work` on a thread of its own and waits for at most `time`; `None` is
/// too late. The thread is then left behind: neither name resolution nor the
/// driver's handshake can be interrupted, and a server that sends a byte now
/// and then defeats a time-out on reads.
pub(super) fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::spawn(move || {
        // Nobody listens any more when it is too late.
        let _ = send.send(work());
    });
    receive.recv_timeout(time).ok()
}

fn options(connection: &Connection, address: Option<SocketAddr>, timeout: Duration) -> Opts {
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
        // Otherwise the driver leaves a loopback connection for the server's
        // socket, past proxies and tunnels, perhaps to another server.
        .prefer_socket(false)
        .stmt_cache_size(0)
        // Otherwise the driver takes the server's own limit as the client's.
        .max_allowed_packet(Some(MAX_PACKET))
        .compress(match connection.compression {
            Compression::None => None,
            // The level is that of our own packets; the server chooses its own.
            Compression::Zlib => Some(mysql::Compression::fast()),
        })
        .read_timeout(connection.read_timeout)
        .tcp_connect_timeout(Some(timeout));
    let builder = match (&connection.endpoint, address) {
        (Endpoint::Socket(path), _) => builder.socket(Some(path.as_str())),
        (Endpoint::Tcp { port, .. }, Some(address)) => builder
            .ip_or_hostname(Some(address.ip().to_string()))
            .tcp_port(*port),
        (Endpoint::Tcp { host, port }, None) => {
            builder.ip_or_hostname(Some(host.as_str())).tcp_port(*port)
        }
    };
    builder.into()
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
        Error::IoError(error) => describe_io(error),
        Error::CodecError(error) => match error.source().and_then(|inner| inner.downcast_ref()) {
            Some(inner) => describe_io(inner),
            None => format!("the server's data cannot be read: {error}"),
        },
        other => other.to_string(),
    }
}

/// Whether the server sent nothing for as long as the read time-out allows.
pub(super) fn is_silence(error: &mysql::Error) -> bool {
    let io = match error {
        mysql::Error::IoError(error) => Some(error),
        mysql::Error::CodecError(error) => error
            .source()
            .and_then(|inner| inner.downcast_ref::<io::Error>()),
        _ => None,
    };
    io.is_some_and(|error| is_time_out(error.kind()))
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
        | io::ErrorKind::UnexpectedEof => "the connection to the server was lost".to_owned(),
        _ => format!("the connection to the server failed: {error}"),
    }
}
