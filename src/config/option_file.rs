//! MySQL's option files, such as `~/.my.cnf`: groups of `name=value` lines, as
//! the MySQL manual describes them under "Using Option Files".
//!
//! Options that this program does not have are passed over: the files are
//! shared with other programs.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    layers::{Layer, Origin, Place, Value},
    settings::{ASK_PASSWORD, Kind, PASSWORD, SETTINGS, Setting},
    tls::{self, TlsMode},
};
use crate::error::{Error, Result};

/// The groups that are read.
const GROUPS: [&str; 3] = ["client", "client-mariadb", "gold_digger"];

/// `!include` within a file within a file …, as deep as MySQL goes.
const MAX_DEPTH: usize = 10;

const HINT: &str = "--no-defaults reads no option file";

/// What option files give.
pub(super) struct OptionFiles<'a> {
    pub layer: Layer,
    groups: Vec<String>,
    warn: &'a dyn Fn(String),
}

/// Whether a file must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was asked for.
    Required,
    /// It is looked for.
    Optional,
}

impl<'a> OptionFiles<'a> {
    /// For the usual groups, and those that also end in `suffix`; `warn` reports
    /// what is ignored.
    pub fn new(suffix: Option<&str>, warn: &'a dyn Fn(String)) -> Self {
        let with_suffix = GROUPS.map(|group| suffix.map(|suffix| format!("{group}{suffix}")));
        let groups = GROUPS.map(str::to_owned).into_iter();
        Self {
            layer: Layer::default(),
            groups: groups.chain(with_suffix.into_iter().flatten()).collect(),
            warn,
        }
    }

    /// Reads the file at `path` and those that it includes. What comes later
    /// wins, in whatever group it stands.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the place.
    pub fn read(&mut self, path: &Path, presence: Presence) -> Result<()> {
        self.read_at_depth(path, presence, 0)
    }

    fn read_at_depth(&mut self, path: &Path, presence: Presence, depth: usize) -> Result<()> {
        let name = path.display();
        let read = fs::metadata(path).and_then(|found| Ok((found, fs::read(path)?)));
        let (found, bytes) = match read {
            Ok(read) => read,
            Err(error) if presence == Presence::Optional => {
                if error.kind() != ErrorKind::NotFound {
                    (self.warn)(format!("the option file {name} is not read: {error}"));
                }
                return Ok(());
            }
            Err(error) => {
                return Err(
                    Error::config(format!("cannot read the option file {name}: {error}"))
                        .with_hint("name another one with --defaults-file, or none"),
                );
            }
        };
        // As the vendors' clients do: anyone could have written it.
        if found.is_file() && found.mode() & 0o002 != 0 {
            let what = format!("the option file {name} is ignored: everyone can write to it");
            (self.warn)(what);
            return Ok(());
        }
        tracing::debug!("read the option file {name}");
        let mut group_is_ours = None;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = String::from_utf8_lossy(line);
            let text = text.trim_start_matches('\u{feff}').trim();
            let place = Place {
                table: None,
                path: path.to_owned(),
                line: index + 1,
                column: 1,
                shown: String::new(),
            };
            let refuse =
                |what: &str| Error::config(format!("{name}:{}: {what}", index + 1)).with_hint(HINT);
            if text.is_empty() || text.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = text.strip_prefix('!') {
                let warn = |what: &str| {
                    (self.warn)(format!("{name}:{}: {what}", index + 1));
                };
                let directive = directive.trim_start();
                match directive.split_once(char::is_whitespace) {
                    _ if depth == MAX_DEPTH => {
                        warn("passed over: option files include each other too deeply")
                    }
                    Some(("include", file)) => {
                        self.read_at_depth(file.trim().as_ref(), Presence::Optional, depth + 1)?;
                    }
                    Some(("includedir", folder)) => {
                        let folder = folder.trim();
                        let files = option_files_in(folder.as_ref())
                            .map_err(|error| refuse(&format!("cannot list {folder}: {error}")))?;
                        for file in files {
                            self.read_at_depth(&file, Presence::Optional, depth + 1)?;
                        }
                    }
                    _ => warn("passed over: it is neither !include FILE nor !includedir FOLDER"),
                }
            } else if let Some(group) = text.strip_prefix('[') {
                let Some((group, _)) = group.split_once(']') else {
                    return Err(refuse("a group's name has no closing bracket"));
                };
                group_is_ours = Some(self.groups.iter().any(|ours| ours == group.trim_end()));
            } else {
                match group_is_ours {
                    None => return Err(refuse("an option stands before any [group]")),
                    Some(false) => {}
                    Some(true) => self.option(without_comment(text), place)?,
                }
            }
        }
        Ok(())
    }

    /// One `name`, or `name=value`.
    fn option(&mut self, text: &str, place: Place) -> Result<()> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim()))),
            None => (text.trim_end(), None),
        };
        let name = name.replace('_', "-");
        let name = name.strip_prefix("loose-").unwrap_or(&name);
        let origin = Origin::OptionFile(Rc::new(Place {
            table: None,
            shown: name.to_owned(),
            ..place
        }));
        let (bare, is_turned_off) = unmodified(name);
        // The name of a switch may itself begin with "enable-".
        let known = |setting: &&Setting| {
            let is_switch = matches!(setting.kind, Kind::Switch);
            setting
                .option
                .is_some_and(|option| option == name || is_switch && unmodified(option).0 == bare)
        };
        let Some(setting) = SETTINGS.iter().find(known) else {
            return Ok(());
        };
        if let Kind::Switch = setting.kind {
            let said = value.as_deref().unwrap_or("on").to_lowercase();
            let Ok(Value::Switch(is_on)) = Kind::Switch.parse(said.as_ref()) else {
                return Err(origin.refuse(name, "is neither on nor off").with_hint(HINT));
            };
            let value = Value::Switch(is_on != is_turned_off);
            self.layer.set(setting, value, origin);
            return Ok(());
        }
        if setting.name == PASSWORD {
            // Alone, it asks for one on the terminal.
            self.layer.unset(PASSWORD);
            self.layer.unset(ASK_PASSWORD);
            if let (None, Some(ask)) = (&value, Setting::named(ASK_PASSWORD)) {
                self.layer.set(ask, Value::Switch(true), origin);
                return Ok(());
            }
        }
        let Some(mut value) = value else {
            return Err(origin.refuse(name, "has no value").with_hint(HINT));
        };
        if value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(origin
                .refuse(name, "is not UTF-8")
                .with_hint("save the file as UTF-8"));
        }
        // Said to be nothing, it is nothing, and so are these numbers for MySQL.
        if value.is_empty() || value == "0" && matches!(name, "port" | "connect-timeout") {
            self.layer.unset(setting.name);
            if setting.name == PASSWORD {
                self.layer.set(setting, Value::Secret(value.into()), origin);
            }
            return Ok(());
        }
        if name == "connect-timeout" {
            value.push('s');
        }
        if setting.name == tls::MODE {
            if value.eq_ignore_ascii_case("preferred") {
                // The vendors' default, which says nothing.
                self.layer.unset(tls::MODE);
                return Ok(());
            }
            value = TlsMode::of_mysql(&value).map_or(value, TlsMode::name);
        }
        if let Kind::Secret = setting.kind {
            self.layer.set(setting, Value::Secret(value.into()), origin);
            return Ok(());
        }
        self.layer
            .parse(setting, value.as_ref(), origin)
            .map_err(|error| error.with_hint(HINT))
    }
}

/// A name without what turns its switch on or off, and whether it turns it off
/// (MySQL manual, "Program Option Modifiers").
fn unmodified(name: &str) -> (&str, bool) {
    let off = ["skip-", "disable-"]
        .iter()
        .find_map(|lead| name.strip_prefix(lead));
    let bare = off.or(name.strip_prefix("enable-")).unwrap_or(name);
    (bare, off.is_some())
}

/// The files that `!includedir` reads, in the order of their names.
fn option_files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<std::io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "cnf"));
    files.sort();
    Ok(files)
}

/// A line up to a `#` that stands outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (place, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => {}
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '#') => return &line[..place],
            _ => {}
        }
        escaped = quote.is_some() && c == '\\' && !escaped;
    }
    line
}

/// A value without the quotes around it, and with its escapes replaced.
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
            // No escape: both characters stay.
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
