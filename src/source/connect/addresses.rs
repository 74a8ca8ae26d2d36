//! The addresses of a server, as attempts of the driver.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use super::{
    super::{
        options::{ConnectOptions, Endpoint},
        refusal::ConnectError,
        tls_options::{TlsOptions, Verification},
    },
    run_with_timeout,
};

/// One call of the driver to reach the server.
pub(super) struct Attempt {
    /// The host that the driver connects to, and that the certificate must be
    /// for.
    pub host: String,
    /// The local address that the driver binds first. If there is one, the driver
    /// tries all the host's addresses of that family.
    pub bind: Option<SocketAddr>,
    /// The number of addresses that the driver tries.
    pub addresses: u32,
}

/// Returns the attempts to reach the server of `connection`. Name resolution may
/// take `timeout`.
pub(super) fn resolve(
    connection: &ConnectOptions,
    timeout: Duration,
) -> Result<Vec<Attempt>, ConnectError> {
    let (host, port) = match &connection.endpoint {
        Endpoint::Socket(path) => {
            return Ok(vec![Attempt {
                host: path.clone(),
                bind: None,
                addresses: 1,
            }]);
        }
        Endpoint::Tcp { host, port } => (host, *port),
    };
    let name = (host.clone(), port);
    let resolved = run_with_timeout(timeout, None, move || {
        name.to_socket_addrs().map(Iterator::collect::<Vec<_>>)
    });
    let resolved = resolved.map_err(|no_result| no_result.into_error(timeout))?;
    let mut resolved = resolved.map_err(|error| {
        // Another attempt may succeed: the names of containers, for example,
        // appear some time after their start.
        ConnectError::new(error.to_string(), "is the host's name right?")
            .transient()
            .with_source(error)
    })?;
    if connection.endpoint.is_local() {
        // A local endpoint may use plain text, so it must not leave the machine.
        resolved.retain(|address| address.ip().is_loopback());
    }
    if resolved.is_empty() {
        let what = format!("{host} does not lead to this machine");
        return Err(ConnectError::new(what, "name 127.0.0.1, or see /etc/hosts"));
    }
    Ok(attempts(connection.tls.as_ref(), host, &resolved))
}

/// Returns the attempts for `host` with the addresses `resolved`.
///
/// Each address is one attempt, unless the certificate is verified against the
/// host's name: the driver takes the name to verify from the host that it
/// connects to, so it must get the name. It then stops at the first address that
/// fails, unless it binds a local address before: then it tries all addresses of
/// the bound address's family.
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
    // The system sorts addresses, the best first (RFC 6724).
    if resolved.first().is_some_and(SocketAddr::is_ipv4) {
        attempts.reverse();
    }
    attempts
}

/// Returns `address` in the notation that the driver accepts.
fn literal(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        // The scope selects the network of a link-local address.
        SocketAddr::V6(address) if address.scope_id() != 0 => {
            format!("{}%{}", address.ip(), address.scope_id())
        }
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tls_options::Authorities;

    /// The driver's host, bound address and number of addresses for each attempt.
    fn shown_attempts(
        host: &str,
        verification: Option<Verification>,
        addresses: &[&str],
    ) -> Vec<String> {
        let tls = verification.map(|verification| TlsOptions {
            verification,
            client: None,
        });
        let resolved: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(address.parse().expect("an address"), 3306))
            .collect();
        let attempts = attempts(tls.as_ref(), host, &resolved);
        let show = |attempt: &Attempt| {
            let bind = attempt.bind.map(|address| address.ip().to_string());
            let (host, addresses) = (&attempt.host, attempt.addresses);
            format!("{host} {} {addresses}", bind.unwrap_or_default())
        };
        attempts.iter().map(show).collect()
    }

    #[test]
    fn the_driver_gets_the_name_only_if_it_is_verified() {
        let identity = || Some(Verification::Identity(Authorities::BuiltIn));
        let both = ["10.0.0.1", "fe80::1", "10.0.0.2"];
        assert_eq!(
            shown_attempts("db", None, &both),
            ["10.0.0.1  1", "[fe80::1]  1", "10.0.0.2  1"]
        );
        assert_eq!(shown_attempts("db", identity(), &["fe80::1"]), ["db  1"]);
        assert_eq!(
            shown_attempts("db", identity(), &both),
            ["db 0.0.0.0 2", "db :: 1"]
        );
        assert_eq!(
            shown_attempts("db", identity(), &both[1..]),
            ["db :: 1", "db 0.0.0.0 1"]
        );
        assert_eq!(shown_attempts("::1", identity(), &["::1"]), ["[::1]  1"]);
    }
}
