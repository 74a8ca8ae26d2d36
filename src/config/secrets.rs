//! Reads passwords from their sources, and warns about files with secrets that
//! other users can read.

use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anstream::adapter::strip_str;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::{
    database_url::parse_url,
    layers::Layer,
    origin::{Origin, WithOrigin},
    query_text::may_be_sql,
    settings::{Setting, keys},
};
use crate::{
    error::{Error, ErrorKind, Result, Signal},
    text::{
        TextPlace, hide_passwords_of, hide_passwords_of_part, hide_passwords_of_sql, printable,
    },
};

/// The maximum size of a password file in bytes.
const MAX_PASSWORD_FILE: u64 = 64 << 10;

/// The folder of Docker's secrets. They are readable by everyone in their container,
/// and by nobody outside (Docker docs, "Manage sensitive data with Docker secrets").
const CONTAINER_SECRETS: &str = "/run/secrets";

/// Where the value of `setting` stands. The names of files, columns and parameters may
/// look like accounts.
pub(crate) fn place_of(setting: &Setting) -> TextPlace {
    let is_name = setting.is(keys::OUTPUT_PATH)
        || setting.is(keys::LOAD_STATEMENT)
        || setting.is(keys::SUMMARY)
        || setting.is(keys::EXPECTED_COLUMNS)
        || setting.is(keys::JSON_COLUMNS);
    if setting.is(keys::USER) {
        TextPlace::User
    } else if is_name {
        TextPlace::Name
    } else {
        TextPlace::Other
    }
}

/// Hides what may be a password in `text`, which was given to the program in `place`,
/// from all later messages. SQL text is shown without what it says of passwords: it has
/// `:` and `@` of its own.
pub(crate) fn hide_misplaced(text: &str, place: TextPlace) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let value = match text.split_once('=') {
        // The value of a flag.
        Some((flag, value)) if flag.starts_with('-') && flag.chars().all(is_name) => value,
        _ => text,
    };
    let after_short_flag = text.strip_prefix('-').and_then(|flag| flag.get(1..));
    hide_passwords_of_sql(value);
    if may_be_sql(value) || after_short_flag.is_some_and(may_be_sql) {
        return;
    }
    if value.len() < text.len() {
        hide_passwords_of(value, place);
    }
    hide_passwords_of(text, place);
    hide_passwords_of(&percent_decode_str(text).decode_utf8_lossy(), place);
    // clap's messages leave out what controls a terminal.
    hide_passwords_of_part(&strip_str(text).to_string(), text, place);
    if let (true, Some((flag, _))) = (text.starts_with('-'), text.split_once('=')) {
        hide_passwords_of_part(flag, text, place);
    }
}

/// The source of the password.
#[derive(Clone, Debug)]
pub(super) enum PasswordSource {
    /// A prompt on the terminal.
    Prompt,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The configuration itself.
    Known(SecretString),
}

/// Why the prompt returned no password.
#[derive(Debug)]
pub enum PromptError {
    /// A signal interrupted the prompt.
    Signal(Signal),
    /// There is no terminal, or it failed.
    Failed(io::Error),
}

impl<E: Into<io::Error>> From<E> for PromptError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Asks for a password with `prompt`. `origin` is the origin of the setting.
pub(super) fn prompt_for_password(
    prompt: &str,
    ask: &dyn Fn(&str) -> Result<SecretString, PromptError>,
    origin: &Origin,
) -> Result<SecretString> {
    ask(&printable(prompt)).map_err(|error| match error {
        PromptError::Signal(signal) => Error::new(
            ErrorKind::Signal(signal),
            format!("ended by {}", signal.name()),
        ),
        PromptError::Failed(error) => {
            let what = format!("cannot ask for the password on the terminal: {error}");
            let refused = origin.refuse(keys::ASK_PASSWORD, &what).with_source(error);
            refused.with_hint("--password-file or --password-env hands it over without a terminal")
        }
    })
}

/// Returns the password in the environment variable `name`. `origin` is the origin
/// of the name.
pub(super) fn password_variable(name: &str, origin: &Origin) -> Result<SecretString> {
    let text = env::var(name).ok().filter(|text| !text.is_empty());
    let missing = || {
        // The name is hidden if it may be a password written in the wrong place.
        let name = if is_variable_name(name) { name } else { "***" };
        let what = format!("names the environment variable {name}, which is not set, or not UTF-8");
        origin.refuse(keys::PASSWORD_ENV, &what)
    };
    Ok(text.ok_or_else(missing)?.into())
}

/// Returns the source of a layer's password. In one layer, the prompt wins over the
/// file, and the file over the variable.
pub(super) fn password(layer: &Layer) -> Option<WithOrigin<PasswordSource>> {
    let ask = layer.get(keys::ASK_PASSWORD).filter(|ask| ask.value);
    let ask = ask.map(|ask| ask.map(|_| PasswordSource::Prompt));
    let file = || Some(layer.get(keys::PASSWORD_FILE)?.map(PasswordSource::File));
    let variable = || Some(layer.get(keys::PASSWORD_ENV)?.map(PasswordSource::Variable));
    let known = || Some(layer.get(keys::PASSWORD)?.map(PasswordSource::Known));
    ask.or_else(file).or_else(variable).or_else(known)
}

/// Reads the password in the file at `path`. `origin` is the origin of the path.
pub(super) fn read_password(path: &Path, origin: &Origin) -> Result<SecretString> {
    let refuse = |what: String| {
        let what = format!("names {}, {what}", path.display());
        origin.refuse(keys::PASSWORD_FILE, &what)
    };
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_PASSWORD_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| refuse(format!("which cannot be read: {error}")).with_source(error))?;
    if bytes.len() as u64 > MAX_PASSWORD_FILE {
        return Err(refuse("which is too long for a password".to_owned()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| refuse("which is not UTF-8".to_owned()).with_hint("save it as UTF-8"))?;
    // Editors on Windows put a byte order mark before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.starts_with('\u{feff}') {
        let what = "which has more than one byte order mark (U+FEFF)".to_owned();
        return Err(refuse(what).with_hint("save it as UTF-8 without one"));
    }
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.trim_matches(['\r', '\n']).is_empty() {
        return Err(refuse("which is empty".to_owned()));
    }
    if line.trim_end_matches(['\r', '\n']).contains('\n') {
        return Err(refuse("which has more than one line".to_owned()));
    }
    if line.ends_with('\n') {
        let what = "which ends with an empty line".to_owned();
        let hint = "remove it: one line end after the password is ignored, and no more";
        return Err(refuse(what).with_hint(hint));
    }
    Ok(line.into())
}

/// Returns a warning if other users can read the file at `path`, which holds
/// `secret`.
pub(super) fn world_readable_warning(path: &Path, secret: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let is_world_readable =
        !path.starts_with(CONTAINER_SECRETS) && found.is_file() && found.mode() & 0o004 != 0;
    let path = path.display();
    is_world_readable
        .then(|| format!("others can read {path}, which holds {secret}; chmod o-r {path}"))
}

/// Whether `name` looks like the name of an environment variable, and not like a
/// password.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Returns the file that holds the password of `layer` itself; `None` if no file does.
pub(super) fn file_with_password(layer: &Layer) -> Option<PathBuf> {
    if let Some(Origin::OptionFile(place)) = layer.get(keys::PASSWORD).map(|found| found.origin) {
        return Some(place.path.clone());
    }
    let url = layer.get(keys::DATABASE_URL)?;
    let Origin::ConfigFile(place) = url.origin else {
        return None;
    };
    let url = parse_url(url.value.expose_secret(), &Origin::Default).ok()?;
    url.password.map(|_| place.path.clone())
}
