//! Parses the database URL: `mysql://USER:PASSWORD@HOST:PORT/DATABASE?socket=/PATH`,
//! or with parameters of TLS such as `ssl-mode=MODE`.
//!
//! No error shows the URL, because it may hold a password.

use std::path::PathBuf;

use ::url::{Host, Url};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::{
    origin::Origin,
    settings::{Key, Setting, keys},
    tls::TlsMode,
};
use crate::{
    error::{Error, Result},
    source::Endpoint,
};

const SHAPE_HINT: &str = "write mysql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded (@ is %40, # is %23)";
pub(super) const DEFAULT_PORT: u16 = 3306;

/// The parts of a URL.
#[derive(Debug)]
pub(super) struct DatabaseUrl {
    pub endpoint: Endpoint,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: Option<String>,
    /// The parameters that give settings values.
    pub parameters: Vec<UrlParameter>,
}

/// A parameter that gives a setting a value.
#[derive(Debug)]
pub(super) enum UrlParameter {
    TlsMode(TlsMode),
    File(Key<PathBuf>, PathBuf),
}

impl UrlParameter {
    /// The setting.
    pub fn setting(&self) -> &'static Setting {
        match self {
            Self::TlsMode(_) => keys::TLS_MODE.setting(),
            Self::File(key, _) => key.setting(),
        }
    }
}

/// The parameters that name a file.
const FILES: [Key<PathBuf>; 3] = [keys::TLS_CA_FILE, keys::TLS_CERT, keys::TLS_KEY];

/// The parameter that names a Unix socket.
const SOCKET: &str = "socket";

/// Parses `text`, which comes from `origin`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming `origin`.
pub(super) fn parse_url(text: &str, origin: &Origin) -> Result<DatabaseUrl> {
    let has_scheme = ["mysql://", "mariadb://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if !has_scheme {
        return Err(refuse(origin, "does not begin with mysql:// or mariadb://"));
    }
    let url =
        Url::parse(text).map_err(|error| refuse(origin, &format!("is malformed ({error})")))?;
    if url.fragment().is_some() {
        return Err(refuse(origin, "holds a '#'"));
    }
    let user = decode(url.username(), "user", origin)?;
    let user = user.ok_or_else(|| refuse(origin, "names no user"))?;
    let password = decode(url.password().unwrap_or_default(), "password", origin)?;
    let query = url.query().unwrap_or_default();
    if [url.path(), query].iter().any(|part| part.contains('@')) {
        let what = "holds an '@' behind the host; one in the password is written %40";
        return Err(refuse(origin, what));
    }
    let path = url.path().trim_start_matches('/');
    if path.contains('/') {
        let what = "holds more than a database behind the host";
        return Err(refuse(origin, what));
    }
    let database = decode(path, "database", origin)?;
    let (socket, parameters) = parse_parameters(query, origin)?;
    Ok(DatabaseUrl {
        endpoint: endpoint(&url, socket, origin)?,
        user,
        password: password.map(SecretString::from),
        database,
        parameters,
    })
}

/// The socket, if there is one, and the other parameters of the URL's `query`.
fn parse_parameters(query: &str, origin: &Origin) -> Result<(Option<String>, Vec<UrlParameter>)> {
    let mut socket = None;
    let mut parameters: Vec<UrlParameter> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_called = |key: &Key<PathBuf>| key.setting().option == Some(name);
        let file = FILES.into_iter().find(is_called);
        let is_mode = keys::TLS_MODE.setting().option == Some(name);
        if file.is_none() && !is_mode && name != SOCKET {
            let what = format!("has the unknown parameter {name:?}");
            let hint = "there are socket=/PATH, ssl-mode=MODE, ssl-ca=FILE, ssl-cert=FILE and ssl-key=FILE";
            return Err(refuse(origin, &what).with_hint(hint));
        }
        let value = decode(value, name, origin)?
            .ok_or_else(|| refuse(origin, &format!("has an empty {name}")))?;
        if name == SOCKET {
            socket = Some(value);
            continue;
        }
        let mut earlier = parameters.iter().map(UrlParameter::setting);
        if earlier.any(|setting| setting.option == Some(name)) {
            return Err(refuse(origin, &format!("has {name} twice")));
        }
        parameters.push(match file {
            Some(key) => UrlParameter::File(key, value.into()),
            None => UrlParameter::TlsMode(TlsMode::from_mysql(&value).ok_or_else(|| {
                let what = "has an ssl-mode that is none of disabled, required, verify_ca and verify_identity";
                let hint = "there is no mode that falls back to plain text unasked";
                refuse(origin, what).with_hint(hint)
            })?),
        });
    }
    Ok((socket, parameters))
}

/// The server's endpoint: `socket`, or the host and port of `url`.
fn endpoint(url: &Url, socket: Option<String>, origin: &Origin) -> Result<Endpoint> {
    let host = match url.host() {
        Some(Host::Ipv6(address)) => Some(address.to_string()),
        Some(Host::Ipv4(address)) => Some(address.to_string()),
        Some(Host::Domain(name)) => decode(name, "host", origin)?,
        None => None,
    };
    let tcp = Endpoint::Tcp {
        host: host.unwrap_or_else(|| "localhost".to_owned()),
        port: url.port().unwrap_or(DEFAULT_PORT),
    };
    match socket {
        Some(_) if !tcp.is_local() => {
            let what = "has a socket, but its host is not localhost";
            Err(refuse(origin, what))
        }
        Some(path) => Ok(Endpoint::Socket(path)),
        None => Ok(tcp),
    }
}

/// `part`, which messages call `what`, without percent-encoding; `None` if it is
/// empty.
fn decode(part: &str, what: &str, origin: &Origin) -> Result<Option<String>> {
    let decoded = percent_decode_str(part).decode_utf8();
    let text = decoded.map_err(|_| refuse(origin, &format!("has a {what} that is not UTF-8")))?;
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}

fn refuse(origin: &Origin, what: &str) -> Error {
    origin
        .refuse(keys::DATABASE_URL, what)
        .with_hint(SHAPE_HINT)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn parts_are_found_and_decoded() {
        let parse = |text| parse_url(text, &Origin::Variable("DATABASE_URL")).expect("a good URL");
        let full = parse("mysql://me%40work:p%3A%2F%23%C3%A4@db.example:3307/my%20shop");
        assert_eq!(full.endpoint, tcp("db.example", 3307));
        assert_eq!(full.user, "me@work");
        assert_eq!(full.password.expect("a password").expose_secret(), "p:/#ä");
        assert_eq!(full.database.as_deref(), Some("my shop"));

        let short = parse("mariadb://me@[::1]");
        assert_eq!(short.endpoint, tcp("::1", 3306));
        assert!(short.password.is_none() && short.database.is_none());

        let socket = parse("mysql://me@localhost/shop?socket=/run/my%20sql.sock");
        assert_eq!(
            socket.endpoint,
            Endpoint::Socket("/run/my sql.sock".to_owned())
        );
    }

    #[test]
    fn refusals_name_the_origin_and_never_the_url() {
        for text in [
            "localhost/secret",
            "root:secret@localhost",
            "postgres://root:secret@localhost",
            "mysql://root:sec#ret@localhost",
            "mysql://root:secret@localhost:99999/",
            "mysql://root:secret@local host/",
            "mysql://:secret@localhost/db",
            "mysql://root:secret%ff@localhost/db",
            "mysql://root:secret@localhost/db/table",
            "mysql://root:secret@localhost/db?socket=",
            "mysql://root:secret@localhost/db?sslmode=off",
            "mysql://root:s3@secret/et@localhost/db",
            "mysql://root:s3@localhost?secret@localhost/db",
            "mysql://root:secret@db.example/db?socket=/s",
        ] {
            let origin = Origin::Variable("DATABASE_URL");
            let error = parse_url(text, &origin).expect_err(text).to_string();
            assert!(error.starts_with("DATABASE_URL "), "{error}");
            assert!(
                !error.contains("secret") && !error.contains("sec#ret"),
                "{error}"
            );
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1"] {
            assert!(tcp(host, 1).is_local(), "{host}");
        }
        for host in [
            "db",
            "10.0.0.1",
            "localhost.example",
            "::2",
            "127.0.0.1.example",
        ] {
            assert!(!tcp(host, 1).is_local(), "{host}");
        }
        assert!(Endpoint::Socket("/s".to_owned()).is_local());
    }
}
