//! Where the server is and who logs in, made of all layers, the lowest first: a
//! URL replaces everything below it, a field of its own only that field.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use nix::unistd::{User, geteuid};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Endpoint,
    database_url::{DEFAULT_PORT, parse_url},
    layers::{Layer, Layers, Origin, Sourced, Value},
    settings::{ASK_PASSWORD, Kind, PASSWORD, TRANSPORT},
    tls,
};
use crate::{
    cli::prompt::{self, Unanswered},
    error::{Error, ErrorKind, Result},
    text::printable,
};

/// Where servers of the usual packages put their socket.
const USUAL_SOCKETS: [&str; 4] = [
    "/run/mysqld/mysqld.sock",
    "/var/run/mysqld/mysqld.sock",
    "/tmp/mysql.sock",
    "/var/lib/mysql/mysql.sock",
];

/// A password file has one line; what is longer is no such file.
const LONGEST_PASSWORD: u64 = 64 << 10;

/// Docker's secrets are readable by everyone in their container, and by nobody
/// outside (Docker docs, "Manage sensitive data with Docker secrets").
const CONTAINER_SECRETS: &str = "/run/secrets";

/// A field and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub value: T,
    pub origin: Origin,
}

/// What the layers say together.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub host: Option<Field<String>>,
    pub port: Option<Field<u16>>,
    pub socket: Option<Field<String>>,
    pub user: Option<Field<String>>,
    pub database: Option<Field<String>>,
    pub password: Option<Field<Password>>,
    /// Whether localhost is to be reached by TCP: an option file says so, or
    /// encryption was asked for, which no socket has.
    tcp_transport: bool,
    /// Files that hold a password, to be looked at for who can read them.
    pub secret_files: Vec<PathBuf>,
}

/// Where the password is.
#[derive(Clone, Debug)]
pub(super) enum Password {
    /// Whoever sits at the terminal knows it.
    Prompt,
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
    /// Here.
    Known(SecretString),
}

impl Fields {
    /// Folds the layers.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for what is malformed, contradictory or missing.
    pub fn resolve(layers: &mut Layers) -> Result<Self> {
        let mut fields = Self::default();
        // What a URL replaces is not even read: it may be another program's.
        let highest_url = layers.all("connection.url").next();
        let mut read = layers.0.len();
        if let Some((
            number,
            Sourced {
                value: Value::Secret(url),
                origin,
            },
        )) = highest_url
        {
            let (url, origin) = (url.clone(), origin.clone());
            fields = Self::of_url(&mut layers.0[number], &url, &origin)?;
            read = number + 1;
        }
        for layer in layers.0[..read].iter().rev() {
            fields.add(layer)?;
        }
        if fields.is_empty() {
            return Err(Error::config("no server is named")
                .with_hint("set --host, --db-url mysql://USER:PASSWORD@HOST:PORT/DATABASE or DATABASE_URL, or write ~/.my.cnf"));
        }
        fields.tcp_transport |= tls::asked_for(layers).is_some();
        fields.secret_files = layers.0.iter().filter_map(file_with_password).collect();
        fields.fill_in()?;
        Ok(fields)
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
        if let Some(user) = text(layer, "connection.user") {
            self.user = Some(user);
        }
        if let Some(database) = text(layer, "connection.database") {
            self.database = Some(database);
        }
        if let Some(password) = password(layer) {
            self.password = Some(password);
        }
        Ok(())
    }

    /// What the `url` of `layer` says, in the place of all lower layers. Its
    /// parameters become the layer's.
    fn of_url(layer: &mut Layer, url: &SecretString, origin: &Origin) -> Result<Self> {
        let alone = |layer: &Layer, name: &str| match layer.get(name) {
            None => Ok(()),
            Some(beside) => {
                let what = format!("cannot stand beside {}", origin.subject("connection.url"));
                let hint = "write it there, or leave the URL out";
                Err(beside.origin.refuse(name, &what).with_hint(hint))
            }
        };
        for name in ["host", "port", "socket", "user", "database"] {
            alone(layer, &format!("connection.{name}"))?;
        }
        let url = parse_url(url.expose_secret(), origin)?;
        for (setting, value) in url.settings {
            alone(layer, setting.name)?;
            let value = match (setting.kind, origin) {
                (Kind::Path, Origin::ConfigFile(place)) => place.path.with_file_name(value).into(),
                _ => OsString::from(value),
            };
            let parameter = setting.option.unwrap_or(setting.name);
            let origin = Origin::Parameter(parameter, Rc::new(origin.clone()));
            layer.set(setting, Value::Text(value), origin);
        }
        let mut fields = Self {
            user: Some(field(url.user, origin)),
            database: url.database.map(|name| field(name, origin)),
            password: url
                .password
                .map(|password| field(Password::Known(password), origin)),
            ..Self::default()
        };
        match url.endpoint {
            Endpoint::Socket(path) => fields.socket = Some(field(path, origin)),
            Endpoint::Tcp { host, port } => {
                fields.host = Some(field(host, origin));
                fields.port = Some(field(port, origin));
            }
        }
        Ok(fields)
    }

    /// A layer's host, port and socket. What leads to a server by TCP ends a
    /// socket of lower layers, and a socket their host and port.
    fn add_endpoint(&mut self, layer: &Layer) -> Result<()> {
        let host = text(layer, "connection.host").map(without_brackets);
        let port = text(layer, "connection.port");
        let socket = text(layer, "connection.socket");
        let elsewhere = host.as_ref().is_some_and(|host| !is_localhost(&host.value));
        let tcp_transport = layer
            .text(TRANSPORT)
            .is_some_and(|name| name.eq_ignore_ascii_case("tcp"));
        self.tcp_transport |= tcp_transport;
        let by_tcp = elsewhere || tcp_transport || port.as_ref().is_some_and(means_tcp);
        match socket {
            Some(socket) if matches!(socket.origin, Origin::OptionFile(_)) => {
                // As for the vendors' clients, host and port may stand beside it.
                self.socket = Some(socket).filter(|_| !by_tcp);
            }
            Some(socket) => {
                let beside = [
                    ("host", host.as_ref().filter(|_| elsewhere)),
                    ("port", port.as_ref()),
                ];
                if let Some((key, field)) = beside
                    .into_iter()
                    .find_map(|(key, field)| Some((key, field?)))
                {
                    let what = format!(
                        "cannot stand beside {}",
                        socket.origin.subject("connection.socket")
                    );
                    let name = format!("connection.{key}");
                    return Err(field
                        .origin
                        .refuse(&name, &what)
                        .with_hint("keep one of them"));
                }
                (self.host, self.port, self.socket) = (None, None, Some(socket));
            }
            None if by_tcp => self.socket = None,
            None => {}
        }
        self.host = host.or(self.host.take());
        if let Some(port) = port {
            let parsed = port.value.parse::<u16>();
            let parsed = parsed.map_err(|_| port.origin.refuse("connection.port", "is no port"))?;
            self.port = Some(field(parsed, &port.origin));
        }
        Ok(())
    }

    /// What nobody said.
    fn fill_in(&mut self) -> Result<()> {
        let local = self
            .host
            .as_ref()
            .is_none_or(|host| is_localhost(&host.value));
        let by_tcp = self.tcp_transport || self.port.as_ref().is_some_and(means_tcp);
        if self.socket.is_none() && local && !by_tcp {
            let socket = USUAL_SOCKETS
                .into_iter()
                .find(|path| is_servers(path.as_ref()));
            self.socket = socket.map(|path| field(path.to_owned(), &Origin::Default));
        }
        if self.socket.is_some() {
            (self.host, self.port) = (None, None);
        } else {
            self.host
                .get_or_insert_with(|| field("localhost".to_owned(), &Origin::Default));
            self.port
                .get_or_insert_with(|| field(DEFAULT_PORT, &Origin::Default));
        }
        if self.user.is_none() {
            let name = login_name().ok_or_else(|| {
                Error::config("no user is named, and you have no login name")
                    .with_hint("add --user USER")
            })?;
            self.user = Some(field(name, &Origin::Default));
        }
        Ok(())
    }

    /// Where the server is.
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

    /// Fetches the password from where it is.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it is not there; [`ErrorKind::Signal`] where
    /// a signal ends the question.
    pub fn password(&mut self) -> Result<Option<SecretString>> {
        let Some(Field { value, origin }) = self.password.clone() else {
            return Ok(None);
        };
        let password = match value {
            Password::Known(password) => password,
            Password::Prompt => self.ask(&origin)?,
            Password::File(path) => {
                let password = password_in(&path, &origin)?;
                self.secret_files.push(path);
                password
            }
            Password::Variable(name) => {
                let text = env::var(&name).ok().filter(|text| !text.is_empty());
                let missing = || {
                    // Whoever has put the password itself there is not shown it.
                    let name = if is_variable_name(&name) {
                        name
                    } else {
                        "***".to_owned()
                    };
                    let what = format!(
                        "names the environment variable {name}, which is not set, or not UTF-8"
                    );
                    origin.refuse("connection.password_env", &what)
                };
                text.ok_or_else(missing)?.into()
            }
        };
        Ok(Some(password).filter(|password| !password.expose_secret().is_empty()))
    }

    fn ask(&self, origin: &Origin) -> Result<SecretString> {
        let user = self.user.as_ref().map_or("", |user| &user.value);
        let prompt = printable(&format!("Password of {user} at {}: ", self.endpoint()));
        prompt::ask(&prompt).map_err(|unanswered| match unanswered {
            Unanswered::Signal(signal) => Error::new(
                ErrorKind::Signal(signal),
                format!("ended by {}", signal.name()),
            ),
            Unanswered::Failed(error) => {
                let what = format!("cannot ask for the password on the terminal: {error}");
                let refused = origin.refuse(ASK_PASSWORD, &what);
                refused
                    .with_hint("--password-file or --password-env hands it over without a terminal")
            }
        })
    }

    /// What the user should know: who else can read the files that hold the
    /// password.
    pub fn warnings(&self) -> Vec<String> {
        let mut files: Vec<&Path> = self.secret_files.iter().map(PathBuf::as_path).collect();
        files.sort();
        files.dedup();
        let exposed = files
            .into_iter()
            .filter_map(|path| exposed(path, "a password"));
        exposed.collect()
    }
}

/// Whether a server's socket is at `path`, and nobody else can have put it there.
fn is_servers(path: &Path) -> bool {
    let Ok(socket) = fs::metadata(path) else {
        return false;
    };
    let folder = path.parent().and_then(|folder| fs::metadata(folder).ok());
    let open_to_all = folder.is_none_or(|folder| folder.mode() & 0o002 != 0);
    let server = || User::from_name("mysql").ok().flatten();
    let trusted = [0, geteuid().as_raw()].contains(&socket.uid())
        || server().is_some_and(|server| server.uid.as_raw() == socket.uid());
    socket.file_type().is_socket() && (trusted || !open_to_all)
}

/// The warning for a file that holds `secret`, where others can read it.
pub(super) fn exposed(path: &Path, secret: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let is_exposed =
        !path.starts_with(CONTAINER_SECRETS) && found.is_file() && found.mode() & 0o004 != 0;
    let path = path.display();
    is_exposed.then(|| format!("others can read {path}, which holds {secret}; chmod o-r {path}"))
}

/// Whether this is what environment variables are usually called, and so no
/// password.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The file in which a layer has its password, if it has one in a file.
fn file_with_password(layer: &Layer) -> Option<PathBuf> {
    let holds = |name| match layer.get(name)? {
        Sourced {
            value: Value::Secret(_),
            origin: Origin::OptionFile(place),
        } => Some(place.path.clone()),
        Sourced {
            value: Value::Secret(url),
            origin: Origin::ConfigFile(place),
        } => {
            let url = parse_url(url.expose_secret(), &Origin::Default).ok()?;
            url.password.map(|_| place.path.clone())
        }
        _ => None,
    };
    holds(PASSWORD).or_else(|| holds("connection.url"))
}

fn field<T>(value: T, origin: &Origin) -> Field<T> {
    Field {
        value,
        origin: origin.clone(),
    }
}

fn text(layer: &Layer, name: &str) -> Option<Field<String>> {
    let found = layer.get(name)?;
    let text = found.text()?.to_string_lossy().into_owned();
    Some(field(text, &found.origin))
}

/// A layer's password. In one layer, the prompt wins over the file, and the
/// file over the variable.
fn password(layer: &Layer) -> Option<Field<Password>> {
    if let Some(ask) = layer.get(ASK_PASSWORD).filter(|ask| ask.is_on()) {
        return Some(field(Password::Prompt, &ask.origin));
    }
    let file = layer.get("connection.password_file");
    if let Some((path, found)) = file.and_then(|found| Some((found.text()?, found))) {
        return Some(field(Password::File(path.into()), &found.origin));
    }
    if let Some(name) = text(layer, "connection.password_env") {
        return Some(field(Password::Variable(name.value), &name.origin));
    }
    match layer.get(PASSWORD)? {
        Sourced {
            value: Value::Secret(password),
            origin,
        } => Some(field(Password::Known(password.clone()), origin)),
        _ => None,
    }
}

/// An IPv6 address as URLs write it stands for itself.
fn without_brackets(host: Field<String>) -> Field<String> {
    let inner = host
        .value
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    match inner.map(str::to_owned) {
        Some(inner) if inner.contains(':') => Field {
            value: inner,
            ..host
        },
        _ => host,
    }
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
}

/// Whether a port leads to localhost by TCP. One in an option file does not, as
/// for the vendors' clients.
fn means_tcp<T>(port: &Field<T>) -> bool {
    !matches!(port.origin, Origin::OptionFile(_))
}

fn password_in(path: &Path, origin: &Origin) -> Result<SecretString> {
    let refuse = |what: String| {
        let what = format!("names {}, {what}", path.display());
        origin.refuse("connection.password_file", &what)
    };
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LONGEST_PASSWORD + 1).read_to_end(&mut bytes));
    read.map_err(|error| refuse(format!("which cannot be read: {error}")))?;
    if bytes.len() as u64 > LONGEST_PASSWORD {
        return Err(refuse("which is too long for a password".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("which is not UTF-8".to_owned()))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(refuse("which is empty".to_owned()));
    }
    if line.contains('\n') {
        return Err(refuse("which has more than one line".to_owned()));
    }
    Ok(line.into())
}

fn login_name() -> Option<String> {
    let account = User::from_uid(geteuid());
    account
        .ok()
        .flatten()
        .map(|account| account.name)
        .or_else(|| env::var("USER").ok())
}
