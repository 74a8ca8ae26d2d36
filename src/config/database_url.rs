//! The database URL: `mysql://USER:PASSWORD@HOST:PORT/DATABASE?socket=/PATH`,
//! or with `ssl-mode=MODE` and its like behind the `?`.
//!
//! No error shows the URL: it may hold a password.

use ::url::{Host, Url};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::{
    layers::Origin,
    settings::{SETTINGS, Setting},
    tls::{self, TlsMode},
};
use crate::{error::Result, source::Endpoint};

const SHAPE: &str = "write mysql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded (@ is %40, # is %23)";
pub(super) const DEFAULT_PORT: u16 = 3306;

/// What a URL says.
#[derive(Debug)]
pub(super) struct DatabaseUrl {
    pub endpoint: Endpoint,
    pub user: String,
    pub password: Option<SecretString>,
    pub database: Option<String>,
    /// What its parameters set, as the settings take it.
    pub settings: Vec<(&'static Setting, String)>,
}

/// Takes `text`, which came from `origin`, apart.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming `origin`.
pub(super) fn parse_url(text: &str, origin: &Origin) -> Result<DatabaseUrl> {
    let refuse = |what: &str| origin.refuse("connection.url", what).with_hint(SHAPE);
    let decode = |part: &str, what: &str| {
        let decoded = percent_decode_str(part).decode_utf8();
        let text = decoded.map_err(|_| refuse(&format!("has a {what} that is not UTF-8")))?;
        Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
    };

    if !["mysql://", "mariadb://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
    {
        return Err(refuse("does not begin with mysql:// or mariadb://"));
    }
    let url = Url::parse(text).map_err(|error| refuse(&format!("is malformed ({error})")))?;
    if url.fragment().is_some() {
        return Err(refuse("holds a '#'"));
    }
    let user = decode(url.username(), "user")?.ok_or_else(|| refuse("names no user"))?;
    let password = decode(url.password().unwrap_or_default(), "password")?;
    if [url.path(), url.query().unwrap_or_default()]
        .iter()
        .any(|part| part.contains('@'))
    {
        return Err(refuse(
            "holds an '@' behind the host; one in the password is written %40",
        ));
    }
    let path = url.path().trim_start_matches('/');
    if path.contains('/') {
        return Err(refuse("holds more than a database behind the host"));
    }
    let database = decode(path, "database")?;

    let mut socket = None;
    let mut settings: Vec<(&Setting, String)> = Vec::new();
    for pair in url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_tls =
            |setting: &&Setting| setting.option == Some(key) && setting.section() == Some("tls");
        let setting = SETTINGS.iter().find(is_tls);
        if setting.is_none() && key != "socket" {
            let what = format!("has the unknown parameter {key:?}");
            let hint = "there are socket=/PATH, ssl-mode=MODE, ssl-ca=FILE, ssl-cert=FILE and ssl-key=FILE";
            return Err(refuse(&what).with_hint(hint));
        }
        let value = decode(value, key)?.ok_or_else(|| refuse(&format!("has an empty {key}")))?;
        match setting {
            None => socket = Some(value),
            Some(setting) if settings.iter().any(|(other, _)| other.name == setting.name) => {
                return Err(refuse(&format!("has {key} twice")));
            }
            Some(setting) if setting.name == tls::MODE => {
                let mode = TlsMode::of_mysql(&value).ok_or_else(|| {
                    refuse("has an ssl-mode that is none of disabled, required, verify_ca and verify_identity")
                        .with_hint("there is no mode that falls back to plain text unasked")
                })?;
                settings.push((setting, mode.name()));
            }
            Some(setting) => settings.push((setting, value)),
        }
    }
    let tcp = Endpoint::Tcp {
        host: match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Domain(name)) => {
                decode(name, "host")?.unwrap_or_else(|| "localhost".to_owned())
            }
            None => "localhost".to_owned(),
        },
        port: url.port().unwrap_or(DEFAULT_PORT),
    };
    let endpoint = match socket {
        Some(_) if !tcp.is_local() => {
            return Err(refuse("has a socket, but its host is not localhost"));
        }
        Some(path) => Endpoint::Socket(path),
        None => tcp,
    };
    Ok(DatabaseUrl {
        endpoint,
        user,
        password: password.map(SecretString::from),
        database,
        settings,
    })
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
