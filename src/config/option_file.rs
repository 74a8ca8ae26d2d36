//! Reads MySQL's option files, such as `~/.my.cnf`: groups of `name=value` lines, as
//! the MySQL manual describes them under "Using Option Files".
//!
//! Options that are no settings of this program are ignored: the files are shared
//! with other programs.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    layers::Layer,
    origin::{Origin, Place},
    secrets::hide_misplaced,
    settings::{Kind, SETTINGS, Setting, Value, keys},
    tls::TlsMode,
};
use crate::{
    error::{Error, Result},
    text::{TextPlace, hide_passwords_of_part},
};

/// The groups that are read.
const GROUPS: [&str; 3] = ["client", "client-mariadb", "gold_digger"];

/// The maximum depth of nested `!include` lines, as in MySQL.
const MAX_DEPTH: usize = 10;

const HINT: &str = "--no-defaults reads no option file";

/// The option that names an entry of [`LOGIN_FILE`].
const LOGIN_PATH: &str = "login-path";

/// The file of mysql_config_editor (MySQL manual, "mysql_config_editor").
pub(super) const LOGIN_FILE: &str = ".mylogin.cnf";

/// The first bytes of [`LOGIN_FILE`].
const LOGIN_FILE_START: [u8; 4] = [0; 4];

const LOGIN_HINT: &str = "write host, user and password as text into ~/.my.cnf, with chmod 600";

/// Reads option files into a layer.
pub(super) struct OptionFiles<'a> {
    pub layer: Layer,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    groups: Vec<String>,
    warn: &'a dyn Fn(String),
}

/// Whether a file must exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// The user names it.
    Required,
    /// It is in its usual place, or another file includes it.
    Optional,
}

impl<'a> OptionFiles<'a> {
    /// Makes a reader of the usual groups, and of those with `suffix` after their
    /// names. `warn` reports what is ignored.
    pub fn new(suffix: Option<&str>, warn: &'a dyn Fn(String)) -> Self {
        let with_suffix = GROUPS.map(|group| suffix.map(|suffix| format!("{group}{suffix}")));
        let groups = GROUPS.map(str::to_owned).into_iter();
        Self {
            layer: Layer::default(),
            files: Vec::new(),
            groups: groups.chain(with_suffix.into_iter().flatten()).collect(),
            warn,
        }
    }

    /// Reads the file at `path` and those that it includes. A later option replaces
    /// an earlier one, whatever their groups are.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the place.
    pub fn read(&mut self, path: &Path, presence: Presence) -> Result<()> {
        self.read_at_depth(path, presence, 0)
    }

    fn read_at_depth(&mut self, path: &Path, presence: Presence, depth: usize) -> Result<()> {
        let Some(bytes) = self.contents(path, presence)? else {
            return Ok(());
        };
        self.files.push(path.to_owned());
        let mut group_is_ours = None;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = String::from_utf8_lossy(line);
            hide_misplaced(&text, TextPlace::Other);
            let at = Position {
                path,
                line: index + 1,
            };
            match Line::parse(text.trim_start_matches('\u{feff}').trim()) {
                Line::Blank => {}
                Line::Directive(directive) => self.directive(directive, at, depth)?,
                Line::Group(group) => {
                    group_is_ours = Some(self.groups.iter().any(|ours| ours == group));
                }
                Line::OpenGroup => {
                    return Err(at.refuse("a group's name has no closing bracket"));
                }
                Line::Option(option) => match group_is_ours {
                    None => return Err(at.refuse("an option stands before any [group]")),
                    Some(false) => {}
                    Some(true) => self.option(option, &text, at)?,
                },
            }
        }
        Ok(())
    }

    /// The bytes of the file at `path`; `None` if it is not to be read.
    fn contents(&self, path: &Path, presence: Presence) -> Result<Option<Vec<u8>>> {
        let name = path.display();
        let read = fs::metadata(path).and_then(|found| Ok((found, fs::read(path)?)));
        let (found, bytes) = match read {
            Ok(read) => read,
            Err(error) if presence == Presence::Optional => {
                if error.kind() != ErrorKind::NotFound {
                    (self.warn)(format!("the option file {name} is not read: {error}"));
                }
                return Ok(None);
            }
            Err(error) => {
                let what = format!("cannot read the option file {name}: {error}");
                let hint = "name another one with --defaults-file, or none";
                return Err(Error::config(what).with_hint(hint).with_source(error));
            }
        };
        if bytes.starts_with(&LOGIN_FILE_START) {
            let what = format!("the option file {name} is not read: login paths are not supported");
            if presence == Presence::Required {
                return Err(Error::config(what).with_hint(LOGIN_HINT));
            }
            (self.warn)(what);
            return Ok(None);
        }
        // As the vendors' clients do: anyone could have written it.
        if found.is_file() && found.mode() & 0o002 != 0 {
            let what = format!("the option file {name} is ignored: everyone can write to it");
            (self.warn)(what);
            return Ok(None);
        }
        tracing::debug!("read the option file {name}");
        Ok(Some(bytes))
    }

    /// Reads the files that a line with `!` includes.
    fn directive(&mut self, directive: &str, at: Position<'_>, depth: usize) -> Result<()> {
        let warn = |what: &str| (self.warn)(at.message(what));
        match directive.split_once(char::is_whitespace) {
            _ if depth == MAX_DEPTH => {
                warn("passed over: option files include each other too deeply");
            }
            Some(("include", file)) => {
                self.read_at_depth(file.trim().as_ref(), Presence::Optional, depth + 1)?;
            }
            Some(("includedir", folder)) => {
                let folder = folder.trim();
                let files = option_files_in(folder.as_ref()).map_err(|error| {
                    let what = format!("cannot list {folder}: {error}");
                    at.refuse(&what).with_source(error)
                })?;
                for file in files {
                    self.read_at_depth(&file, Presence::Optional, depth + 1)?;
                }
            }
            _ => warn("passed over: it is neither !include FILE nor !includedir FOLDER"),
        }
        Ok(())
    }

    /// Reads one `name`, or `name=value`, of `line`. An option that is no setting is
    /// ignored.
    fn option(&mut self, text: &str, line: &str, at: Position<'_>) -> Result<()> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim()))),
            None => (text.trim_end(), None),
        };
        if let Some(value) = &value {
            // A `#` may have ended it, and escapes stand for other characters.
            hide_passwords_of_part(value, line, TextPlace::Other);
        }
        let name = name.replace('_', "-");
        let name = name.strip_prefix("loose-").unwrap_or(&name);
        let Some(setting) = setting_of(name) else {
            if name == LOGIN_PATH {
                let what =
                    format!("{LOGIN_PATH} is passed over, as it is not supported: {LOGIN_HINT}");
                (self.warn)(at.message(&what));
            }
            return Ok(());
        };
        let origin = at.origin(name);
        match setting.kind {
            Kind::Switch => self.switch(setting, name, value.as_deref(), origin),
            Kind::Secret => self.password(value, origin),
            _ => self.value(setting, value, origin),
        }
    }

    /// Sets the switch that `name` turns on or off.
    fn switch(
        &mut self,
        setting: &'static Setting,
        name: &str,
        value: Option<&str>,
        origin: Origin,
    ) -> Result<()> {
        let text = value.unwrap_or("on").to_lowercase();
        let parsed = Kind::Switch.parse(text.as_ref()).ok();
        let Some(is_on) = parsed.as_ref().and_then(Value::get::<bool>) else {
            let refused = origin.refuse(setting, "is neither on nor off");
            return Err(refused.with_hint(HINT));
        };
        let (_, is_turned_off) = without_modifier(name);
        let value = Value::from(*is_on != is_turned_off);
        self.layer.insert(setting, value, origin);
        Ok(())
    }

    /// Sets the password. An option without a value asks for one on the terminal.
    fn password(&mut self, value: Option<String>, origin: Origin) -> Result<()> {
        self.layer.unset(keys::PASSWORD);
        self.layer.unset(keys::ASK_PASSWORD);
        let Some(password) = value else {
            self.layer.set(keys::ASK_PASSWORD, true, origin);
            return Ok(());
        };
        check_utf8(&password, keys::PASSWORD, &origin)?;
        self.layer.set(keys::PASSWORD, password.into(), origin);
        Ok(())
    }

    /// Sets a setting that needs a value.
    fn value(
        &mut self,
        setting: &'static Setting,
        value: Option<String>,
        origin: Origin,
    ) -> Result<()> {
        let Some(mut value) = value else {
            return Err(origin.refuse(setting, "has no value").with_hint(HINT));
        };
        check_utf8(&value, setting, &origin)?;
        // An empty value unsets the option, and so does the number 0, as in MySQL.
        let is_number = matches!(setting.kind, Kind::Number(_) | Kind::Duration);
        if value.is_empty() || value == "0" && is_number {
            self.layer.unset(setting);
            return Ok(());
        }
        if let Kind::Duration = setting.kind {
            // MySQL's options have no unit: they count seconds.
            value.push('s');
        }
        if setting.is(keys::TLS_MODE) {
            if value.eq_ignore_ascii_case("preferred") {
                // The vendors' default, which asks for nothing.
                self.layer.unset(setting);
                return Ok(());
            }
            if let Some(mode) = TlsMode::from_mysql(&value) {
                self.layer.set(keys::TLS_MODE, mode, origin);
                return Ok(());
            }
        }
        let parsed = self.layer.parse(setting, value.as_ref(), origin);
        parsed.map_err(|error| error.with_hint(HINT))
    }
}

/// A line of an option file that is read.
#[derive(Clone, Copy)]
struct Position<'a> {
    path: &'a Path,
    /// Counted from 1.
    line: usize,
}

impl Position<'_> {
    fn message(self, what: &str) -> String {
        format!("{}:{}: {what}", self.path.display(), self.line)
    }

    fn refuse(self, what: &str) -> Error {
        Error::config(self.message(what)).with_hint(HINT)
    }

    /// The origin of the option that this line calls `name`.
    fn origin(self, name: &str) -> Origin {
        Origin::OptionFile(Rc::new(Place {
            path: self.path.to_owned(),
            line: self.line,
            column: 1,
            table: None,
            shown: name.to_owned(),
        }))
    }
}

/// The kinds of lines.
enum Line<'a> {
    /// Nothing, or a comment.
    Blank,
    /// What follows a `!`.
    Directive(&'a str),
    /// The name of a group.
    Group(&'a str),
    /// A group without its closing bracket.
    OpenGroup,
    /// An option, without the comment after it.
    Option(&'a str),
}

impl<'a> Line<'a> {
    /// `text` has no white space around it.
    fn parse(text: &'a str) -> Self {
        if text.is_empty() || text.starts_with(['#', ';']) {
            return Self::Blank;
        }
        if let Some(directive) = text.strip_prefix('!') {
            return Self::Directive(directive.trim_start());
        }
        match text.strip_prefix('[').map(|group| group.split_once(']')) {
            Some(Some((group, _))) => Self::Group(group.trim_end()),
            Some(None) => Self::OpenGroup,
            None => Self::Option(without_comment(text)),
        }
    }
}

/// The setting that option files call `name`.
fn setting_of(name: &str) -> Option<&'static Setting> {
    let (bare, _) = without_modifier(name);
    SETTINGS.iter().copied().find(|setting| {
        let is_switch = matches!(setting.kind, Kind::Switch);
        setting.option.is_some_and(|option| {
            // The name of a switch may itself begin with "enable-".
            option == name || is_switch && without_modifier(option).0 == bare
        })
    })
}

fn check_utf8(value: &str, setting: impl Into<&'static Setting>, origin: &Origin) -> Result<()> {
    if value.contains(char::REPLACEMENT_CHARACTER) {
        let refused = origin.refuse(setting, "is not UTF-8");
        return Err(refused.with_hint("save the file as UTF-8"));
    }
    Ok(())
}

/// A name without the modifier that turns its switch on or off, and whether the
/// modifier turns it off (MySQL manual, "Program Option Modifiers").
fn without_modifier(name: &str) -> (&str, bool) {
    let off = ["skip-", "disable-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    let bare = off.or(name.strip_prefix("enable-")).unwrap_or(name);
    (bare, off.is_some())
}

/// Returns the files that `!includedir` reads, in the order of their names.
fn option_files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "cnf"));
    files.sort();
    Ok(files)
}

/// Returns `line` up to a `#` outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => {}
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '#') => return &line[..index],
            _ => {}
        }
        escaped = quote.is_some() && c == '\\' && !escaped;
    }
    line
}

/// Returns a value without the quotes around it, and with its escapes replaced.
fn unquoted(text: &str) -> String {
    let quoted = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    let text = quoted('"').or_else(|| quoted('\'')).unwrap_or(text);
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some('b') => value.push('\u{8}'),
            Some('s') => value.push(' '),
            Some(c @ ('\\' | '"' | '\'')) => value.push(c),
            // Not an escape: both characters stay.
            Some(c) => value.extend(['\\', c]),
            None => value.push('\\'),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lose_comments_quotes_and_escapes() {
        for (line, value) in [
            ("x=plain", "plain"),
            ("x = spaced out  # a comment", "spaced out"),
            ("x='a # b' # c", "a # b"),
            (r#"x="it's #1""#, "it's #1"),
            ("x=\"a\\\"#b\"", "a\"#b"),
            (r"x=C:\\new\sfile\t.\S\", "C:\\new file\t.\\S\\"),
            ("x=a=b", "a=b"),
            ("x='open", "'open"),
            ("x='", "'"),
            ("x=", ""),
        ] {
            let (_, text) = without_comment(line).split_once('=').expect("a value");
            assert_eq!(unquoted(text.trim()), value, "{line}");
        }
    }
}
