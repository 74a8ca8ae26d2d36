//! Parses the database URL: `mysql://USER:PASSWORD@HOST:PORT/DATABASE?socket=/PATH`,
//! or with parameters of TLS such as `ssl-mode=MODE`.
//!
//! No error shows the URL, because it may hold a password.

use std::{collections::BTreeSet, path::PathBuf};

use ::url::{Host, ParseError, Url};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::{
    home,
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

/// The parameters that are no settings: the Unix socket, the account as other
/// programs write it, and the character set, which is always UTF-8.
const SOCKET: &str = "socket";
const USER: &str = "user";
const PASSWORD: &str = "password";
const CHARSET: &str = "charset";

/// The schemes. Other programs write `mysql2` for the same.
const SCHEMES: [&str; 3] = ["mysql", "mariadb", "mysql2"];

const WRONG_PORT: &str = "has a port that is no number from 1 to 65535";

/// The names of UTF-8 as a character set.
const UTF8: [&str; 4] = ["utf8mb4", "utf8mb3", "utf8", "utf-8"];

/// Parses `text`, which comes from `origin`. White space and a pair of quotes
/// around the URL are ignored: files of variables often keep them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming `origin`.
pub(super) fn parse_url(text: &str, origin: &Origin) -> Result<DatabaseUrl> {
    let text = text.trim();
    let unquoted = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    let text = unquoted('"').or_else(|| unquoted('\'')).unwrap_or(text);
    check_scheme(text, origin)?;
    let url = Url::parse(text).map_err(|error| refuse(origin, malformed(error)))?;
    if url.fragment().is_some() {
        return Err(refuse(origin, "holds a '#'"));
    }
    if url.port() == Some(0) {
        return Err(refuse(origin, WRONG_PORT));
    }
    let user = decode(url.username(), USER, origin)?;
    let password = decode(url.password().unwrap_or_default(), PASSWORD, origin)?;
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
    let parameters = Parameters::parse(query, origin)?;
    let user = one_of(user, parameters.user, USER, origin)?;
    let password = one_of(password, parameters.password, PASSWORD, origin)?;
    Ok(DatabaseUrl {
        endpoint: endpoint(&url, parameters.socket, origin)?,
        user: user.ok_or_else(|| refuse(origin, "names no user"))?,
        password: password.map(SecretString::from),
        database,
        parameters: parameters.settings,
    })
}

/// Checks the part of `text` before `://`.
fn check_scheme(text: &str, origin: &Origin) -> Result<()> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_scheme = |found: &str| {
        SCHEMES
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    };
    if scheme.is_some_and(is_scheme) {
        return Ok(());
    }
    let what = if text.starts_with(['"', '\'']) {
        "begins with a quotation mark, and does not end with it"
    } else if text
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("jdbc:"))
    {
        "begins with jdbc:, which only Java's programs know: leave that out"
    } else {
        "does not begin with mysql:// or mariadb://"
    };
    Err(refuse(origin, what))
}

/// The part of a URL that `error` is about, as the end of a sentence.
fn malformed(error: ParseError) -> &'static str {
    match error {
        ParseError::InvalidPort => WRONG_PORT,
        ParseError::EmptyHost => "has no host",
        ParseError::InvalidIpv4Address
        | ParseError::InvalidIpv6Address
        | ParseError::InvalidDomainCharacter
        | ParseError::IdnaError => "has a host that is neither a name nor an address",
        _ => "is malformed",
    }
}

/// The value of `what`, which stands before the host or is a parameter, and not
/// both.
fn one_of(
    before_host: Option<String>,
    parameter: Option<String>,
    what: &str,
    origin: &Origin,
) -> Result<Option<String>> {
    if before_host.is_some() && parameter.is_some() {
        let what = format!("has a {what} before the host, and another one as a parameter");
        return Err(refuse(origin, &what));
    }
    Ok(before_host.or(parameter))
}

/// The parameters of a URL.
#[derive(Default)]
struct Parameters {
    socket: Option<String>,
    user: Option<String>,
    password: Option<String>,
    /// Those that give settings values.
    settings: Vec<UrlParameter>,
}

impl Parameters {
    /// Parses the part of a URL after its `?`.
    fn parse(query: &str, origin: &Origin) -> Result<Self> {
        let mut parameters = Self::default();
        let mut names = BTreeSet::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let file = FILES
                .into_iter()
                .find(|key| key.setting().option == Some(name));
            let is_mode = keys::TLS_MODE.setting().option == Some(name);
            let others = [SOCKET, USER, PASSWORD, CHARSET];
            if file.is_none() && !is_mode && !others.contains(&name) {
                return Err(unknown_parameter(name, names.contains(PASSWORD), origin));
            }
            if !names.insert(name) {
                return Err(refuse(origin, &format!("has {name} twice")));
            }
            let value = decode(value, name, origin)?;
            if name == PASSWORD {
                // An empty password is none.
                parameters.password = value;
                continue;
            }
            let value = value.ok_or_else(|| refuse(origin, &format!("has an empty {name}")))?;
            let path = |value| {
                let path = home::expand(value);
                path.map_err(|problem| refuse(origin, &format!("has a wrong {name}: {problem}")))
            };
            match (name, file) {
                (_, Some(key)) => {
                    let file = UrlParameter::File(key, path(value)?);
                    parameters.settings.push(file);
                }
                (SOCKET, _) => {
                    let socket = path(value)?.to_string_lossy().into_owned();
                    parameters.socket = Some(socket);
                }
                (USER, _) => parameters.user = Some(value),
                (CHARSET, _) => check_charset(&value, origin)?,
                _ => parameters.settings.push(tls_mode(&value, origin)?),
            }
        }
        Ok(parameters)
    }
}

fn tls_mode(mode: &str, origin: &Origin) -> Result<UrlParameter> {
    let mode = TlsMode::from_mysql(mode).map(UrlParameter::TlsMode);
    mode.ok_or_else(|| {
        let what =
            "has an ssl-mode that is none of disabled, required, verify_ca and verify_identity";
        let hint = "there is no mode that falls back to plain text unasked";
        refuse(origin, what).with_hint(hint)
    })
}

/// The error for a parameter that is not known. What stands behind a password may
/// be its end, behind an `&` of its own, and is not shown.
fn unknown_parameter(name: &str, is_after_password: bool, origin: &Origin) -> Error {
    if is_after_password {
        let what = "has an unknown parameter behind the password, in which & is written %26";
        return refuse(origin, what);
    }
    let hint = "there are socket=/PATH, ssl-mode=MODE, ssl-ca=FILE, ssl-cert=FILE, ssl-key=FILE, user=, password= and charset=utf8mb4";
    refuse(origin, &format!("has the unknown parameter {name:?}")).with_hint(hint)
}

/// Refuses another character set than UTF-8.
fn check_charset(charset: &str, origin: &Origin) -> Result<()> {
    if UTF8.iter().any(|utf8| charset.eq_ignore_ascii_case(utf8)) {
        return Ok(());
    }
    let refused = refuse(origin, "has a charset that is not utf8mb4");
    Err(refused
        .with_hint("leave it out: the server always sends UTF-8, and so the output is UTF-8"))
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
            "mysql://root@localhost/db?password=a&secret",
            "mysql://root@localhost/db?password=a&secret=b",
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
