//! Resolves the server's address and the account from all layers, the lowest
//! first. A URL replaces all lower layers; any other setting replaces only itself.

use std::{
    env, fs,
    num::NonZeroU16,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use nix::unistd::{User, geteuid};
use secrecy::{ExposeSecret, SecretString};

use super::{
    database_url::{DEFAULT_PORT, UrlParameter, parse_url},
    layers::{Layer, Layers},
    option_file::LOGIN_FILE,
    origin::{Origin, WithOrigin},
    secrets::{
        self, PasswordSource, PromptError, file_with_password, password, world_readable_warning,
    },
    settings::{Setting, keys},
    tls,
};
use crate::{
    error::{Error, Result},
    source::Endpoint,
};

/// The paths of the sockets of commonly packaged servers.
const USUAL_SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/tmp/mysql.sock",
    "/var/lib/mysql/mysql.sock",
];

/// The settings of the connection, merged from all layers.
#[derive(Debug, Default)]
pub(super) struct ConnectionSettings {
    pub host: Option<WithOrigin<String>>,
    pub port: Option<WithOrigin<u16>>,
    pub socket: Option<WithOrigin<String>>,
    pub user: Option<WithOrigin<String>>,
    pub database: Option<WithOrigin<String>>,
    pub password: Option<WithOrigin<PasswordSource>>,
    /// Whether localhost is reached by TCP: an option file asks for it, or
    /// something asks for encryption, which sockets do not have.
    tcp_transport: bool,
    /// The files that hold a password. [`warnings`](Self::warnings) checks who
    /// can read them.
    pub secret_files: Vec<PathBuf>,
}

impl ConnectionSettings {
    /// Merges the layers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is malformed, contradictory or missing.
    pub fn resolve(layers: &mut Layers) -> Result<Self> {
        let mut settings = Self::default();
        // Layers below a URL are not read: their values may be for another program.
        let highest_url = layers.all(keys::DATABASE_URL).next();
        let mut read = layers.list.len();
        if let Some((index, url)) = highest_url {
            settings = Self::from_url(&mut layers.list[index], &url)?;
            read = index + 1;
        }
        for layer in layers.list[..read].iter().rev() {
            settings.add(layer)?;
        }
        if settings.is_empty() {
            return Err(no_server());
        }
        settings.tcp_transport |= tls::encryption_request(layers).is_some();
        settings.secret_files = layers.list.iter().filter_map(file_with_password).collect();
        settings.fill_in()?;
        Ok(settings)
    }

    fn is_empty(&self) -> bool {
        let Self {
            host,
            port,
            socket,
            user,
            database,
            password,
            ..
        } = self;
        host.is_none()
            && port.is_none()
            && socket.is_none()
            && user.is_none()
            && database.is_none()
            && password.is_none()
    }

    fn add(&mut self, layer: &Layer) -> Result<()> {
        self.add_endpoint(layer)?;
        self.user = layer.get(keys::USER).or(self.user.take());
        self.database = layer.get(keys::DATABASE).or(self.database.take());
        self.password = password(layer).or(self.password.take());
        Ok(())
    }

    /// The settings of the `url` of `layer`, which replace all lower layers. The
    /// URL's parameters become values of the layer.
    fn from_url(layer: &mut Layer, url: &WithOrigin<SecretString>) -> Result<Self> {
        let origin = &url.origin;
        let parts = [
            keys::HOST.setting(),
            keys::PORT.setting(),
            keys::SOCKET.setting(),
            keys::USER.setting(),
            keys::DATABASE.setting(),
        ];
        for setting in parts {
            reject_beside_url(layer, setting, origin)?;
        }
        let url = parse_url(url.value.expose_secret(), origin)?;
        for parameter in url.parameters {
            let setting = parameter.setting();
            reject_beside_url(layer, setting, origin)?;
            let name = setting.option.unwrap_or(setting.name);
            let of_parameter = Origin::Parameter(name, Rc::new(origin.clone()));
            match (parameter, origin) {
                (UrlParameter::TlsMode(mode), _) => layer.set(keys::TLS_MODE, mode, of_parameter),
                (UrlParameter::File(key, file), Origin::ConfigFile(place)) => {
                    layer.set(key, place.path.with_file_name(file), of_parameter);
                }
                (UrlParameter::File(key, file), _) => layer.set(key, file, of_parameter),
            }
        }
        let mut settings = Self {
            user: Some(WithOrigin::new(url.user, origin)),
            database: url.database.map(|name| WithOrigin::new(name, origin)),
            password: url
                .password
                .map(|password| WithOrigin::new(PasswordSource::Known(password), origin)),
            ..Self::default()
        };
        match url.endpoint {
            Endpoint::Socket(path) => settings.socket = Some(WithOrigin::new(path, origin)),
            Endpoint::Tcp { host, port } => {
                settings.host = Some(WithOrigin::new(host, origin));
                settings.port = Some(WithOrigin::new(port, origin));
            }
        }
        Ok(settings)
    }

    /// Adds the host, port and socket of `layer`. A host or port that means TCP
    /// replaces the socket of lower layers, and a socket replaces their host and
    /// port.
    fn add_endpoint(&mut self, layer: &Layer) -> Result<()> {
        let host = layer.get(keys::HOST).map(|host| host.map(without_brackets));
        let port = layer.get(keys::PORT);
        let port = port.map(|port| port.map(NonZeroU16::get));
        let socket = layer.get(keys::SOCKET);
        let socket = socket.map(|socket| socket.map(|path| path.to_string_lossy().into_owned()));
        let is_remote = host.as_ref().is_some_and(|host| !is_localhost(&host.value));
        let tcp_transport = layer
            .value(keys::TRANSPORT)
            .is_some_and(|name| name.eq_ignore_ascii_case("tcp"));
        self.tcp_transport |= tcp_transport;
        let by_tcp = is_remote || tcp_transport || port.as_ref().is_some_and(means_tcp);
        match socket {
            Some(socket) if is_of_clients(&socket.origin) => {
                // As for the vendors' clients, an option file or their variables may
                // have a host and a port beside the socket.
                self.socket = Some(socket).filter(|_| !by_tcp);
            }
            Some(socket) => {
                let remote = host.as_ref().filter(|_| is_remote);
                let remote = remote.map(|host| (keys::HOST.setting(), &host.origin));
                let port = port.as_ref();
                let port = port.map(|port| (keys::PORT.setting(), &port.origin));
                if let Some((setting, origin)) = remote.or(port) {
                    let subject = socket.origin.subject(keys::SOCKET);
                    let what = format!("cannot stand beside {subject}");
                    let refused = origin.refuse(setting, &what);
                    return Err(refused.with_hint("keep one of them"));
                }
                (self.host, self.port, self.socket) = (None, None, Some(socket));
            }
            None if by_tcp => self.socket = None,
            None => {}
        }
        self.host = host.or(self.host.take());
        self.port = port.or(self.port.take());
        Ok(())
    }

    /// Fills in what no layer gives.
    fn fill_in(&mut self) -> Result<()> {
        let local = self
            .host
            .as_ref()
            .is_none_or(|host| is_localhost(&host.value));
        let by_tcp = self.tcp_transport || self.port.as_ref().is_some_and(means_tcp);
        if self.socket.is_none() && local && !by_tcp {
            let socket = USUAL_SOCKETS
                .into_iter()
                .find(|path| is_trusted_socket(path.as_ref()));
            self.socket = socket.map(|path| WithOrigin::new(path.to_owned(), &Origin::Default));
        }
        if self.socket.is_some() {
            (self.host, self.port) = (None, None);
        } else {
            self.host
                .get_or_insert_with(|| WithOrigin::new("localhost".to_owned(), &Origin::Default));
            self.port
                .get_or_insert_with(|| WithOrigin::new(DEFAULT_PORT, &Origin::Default));
        }
        if self.user.is_none() {
            let name = login_name().ok_or_else(|| {
                Error::config("no user is named, and you have no login name")
                    .with_hint("add --user USER")
            })?;
            self.user = Some(WithOrigin::new(name, &Origin::Default));
        }
        Ok(())
    }

    /// Returns the address of the server.
    pub fn endpoint(&self) -> Endpoint {
        match (&self.socket, &self.host, &self.port) {
            (Some(socket), ..) => Endpoint::Socket(socket.value.clone()),
            (None, host, port) => Endpoint::Tcp {
                host: host
                    .as_ref()
                    .map_or_else(|| "localhost".to_owned(), |host| host.value.clone()),
                port: port.as_ref().map_or(DEFAULT_PORT, |port| port.value),
            },
        }
    }

    /// Reads the password from its source. `ask` asks the user for it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if it is
    /// missing; [`ErrorKind::Signal`](crate::error::ErrorKind::Signal) if a signal
    /// interrupts the prompt.
    pub fn password(
        &mut self,
        ask: &dyn Fn(&str) -> Result<SecretString, PromptError>,
    ) -> Result<Option<SecretString>> {
        let Some(WithOrigin { value, origin }) = self.password.clone() else {
            return Ok(None);
        };
        let password = match value {
            PasswordSource::Known(password) => password,
            PasswordSource::Prompt => {
                let user = self.user.as_ref().map_or("", |user| &user.value);
                let prompt = format!("Password of {user} at {}: ", self.endpoint());
                secrets::prompt_for_password(&prompt, ask, &origin)?
            }
            PasswordSource::File(path) => {
                let password = secrets::read_password(&path, &origin)?;
                self.secret_files.push(path);
                password
            }
            PasswordSource::Variable(name) => secrets::password_variable(&name, &origin)?,
        };
        Ok(Some(password).filter(|password| !password.expose_secret().is_empty()))
    }

    /// Returns a warning for each file with a password that other users can read.
    pub fn warnings(&self) -> Vec<String> {
        let mut files: Vec<&Path> = self.secret_files.iter().map(PathBuf::as_path).collect();
        files.sort();
        files.dedup();
        let warnings = files
            .into_iter()
            .filter_map(|path| world_readable_warning(path, "a password"));
        warnings.collect()
    }
}

/// Returns the error for a run without any setting of the connection.
fn no_server() -> Error {
    let login_file = env::home_dir().map(|home| home.join(LOGIN_FILE));
    let what = match login_file {
        Some(file) if file.exists() => {
            format!(
                "no server is named: ~/{LOGIN_FILE} is not read, as login paths are not supported"
            )
        }
        _ => "no server is named".to_owned(),
    };
    Error::config(what)
        .with_hint("set --host, --db-url mysql://USER:PASSWORD@HOST:PORT/DATABASE or DATABASE_URL, or write ~/.my.cnf")
}

/// Whether `path` is a socket that no other user can have created: it belongs to
/// root, to this account or to the account `mysql`, or not everyone can write to
/// its folder.
fn is_trusted_socket(path: &Path) -> bool {
    let Ok(socket) = fs::metadata(path) else {
        return false;
    };
    let folder = path.parent().and_then(|folder| fs::metadata(folder).ok());
    let is_world_writable = folder.is_none_or(|folder| folder.mode() & 0o002 != 0);
    let server_account = || User::from_name("mysql").ok().flatten();
    let is_trusted = [0, geteuid().as_raw()].contains(&socket.uid())
        || server_account().is_some_and(|account| account.uid.as_raw() == socket.uid());
    socket.file_type().is_socket() && (is_trusted || !is_world_writable)
}

/// Refuses a value of `setting` in the layer of a URL: the URL has a place for it.
fn reject_beside_url(layer: &Layer, setting: &'static Setting, url: &Origin) -> Result<()> {
    let Some(found) = layer.entry(setting) else {
        return Ok(());
    };
    let what = format!("cannot stand beside {}", url.subject(keys::DATABASE_URL));
    let refused = found.origin.refuse(setting, &what);
    Err(refused.with_hint("write it there, or leave the URL out"))
}

/// The host without the brackets that URLs put around an IPv6 address.
fn without_brackets(host: String) -> String {
    let inner = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    match inner {
        Some(inner) if inner.contains(':') => inner.to_owned(),
        _ => host,
    }
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// Whether a port asks for TCP on localhost. One that the vendors' clients read too
/// does not, as for them.
fn means_tcp<T>(port: &WithOrigin<T>) -> bool {
    !is_of_clients(&port.origin)
}

/// Whether the vendors' clients read the place too.
fn is_of_clients(origin: &Origin) -> bool {
    matches!(origin, Origin::OptionFile(_) | Origin::ClientVariable(_))
}

fn login_name() -> Option<String> {
    let account = User::from_uid(geteuid());
    account
        .ok()
        .flatten()
        .map(|account| account.name)
        .or_else(|| env::var("USER").ok())
}
