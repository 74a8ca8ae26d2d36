//! Reads the configuration file, which is TOML. Unknown keys are refused. An error
//! shows the file, line and column, and the part of the line that cannot be a
//! secret.
//!
//! The table of settings defines the keys and their values.

use std::{borrow::Cow, collections::BTreeSet, fmt, fs, mem, path::Path, rc::Rc};

use toml::Spanned;

use self::{
    node::{Entry, Node, hide_passwords},
    redact::{file_settings, is_bare, quoted, shown},
    synonyms::right_key,
};
use super::{
    layers::Layer,
    origin::{Origin, Place},
    settings::{Kind, ListParser, SETTINGS, Setting, Value, keys},
};
use crate::{
    error::{Error, Result},
    sql::{ITEMS, Parameter, ParameterValue},
};

mod node;
mod redact;
mod synonyms;
mod variables;

/// Reads the configuration file at `path` as a layer.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the place.
pub(super) fn load(path: &Path) -> Result<(Layer, Vec<ExportTable>)> {
    let text = fs::read_to_string(path).map_err(|error| {
        let name = path.display();
        Error::config(format!(
            "cannot read the configuration file {name}: {error}"
        ))
        .with_hint("name another one with --config or GOLD_DIGGER_CONFIG")
        .with_source(error)
    })?;
    let mut file = ConfigFile {
        path,
        text: &text,
        layer: Layer::default(),
        exports: Vec::new(),
        export_table: None,
    };
    let root = toml::from_str::<Node>(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        file.refuse(at, without_values(error.message()))
    })?;
    hide_passwords(&root, "");
    if let Node::Table(sections) = root {
        let has_exports = sections.iter().any(|(name, _)| name.get_ref() == EXPORT);
        for (name, section) in sections {
            if has_exports && name.get_ref() == QUERY {
                let what = "[query] and [[export]] cannot stand in one file";
                return Err(file
                    .refuse(name.span().start, what)
                    .with_hint("make the query an [[export]] of its own, with a name"));
            }
            if name.get_ref() == EXPORT {
                file.exports(&name, section)?;
            } else {
                file.section(&name, section)?;
            }
        }
    }
    Ok((file.layer, file.exports))
}

/// The key of the exports' tables.
const EXPORT: &str = "export";

/// The key of an export's name.
const NAME: &str = "name";

/// An export's table, and its tables of sections. An export's table may have the keys
/// of these sections directly, too.
const EXPORT_TABLE: &str = "[export]";
const EXPORT_TABLES: [&str; 10] = [
    "export.output",
    "export.guards",
    "export.csv",
    "export.tsv",
    "export.json",
    "export.insert",
    "export.parquet",
    "export.arrow",
    "export.xlsx",
    "export.values",
];

/// What is said of a value that is no list, and of one that is no table.
const LIST: &str = "is a list of texts: [\"…\", \"…\"]";
const TABLE: &str = "is a table: { NAME = \"VALUE\" }";

/// The section of an output, and its table within an export's, of which there may be several.
const OUTPUT: &str = "output";
const OUTPUT_TABLE: &str = "export.output";

/// The keys of that section that say what becomes of the rows, whatever the outputs are.
const OF_ALL_OUTPUTS: [&str; 2] = ["allow_empty", "on_error"];

/// The section whose keys an export's table may have directly.
const QUERY: &str = "query";

/// One `[[export]]`.
#[derive(Clone, Debug)]
pub(super) struct ExportTable {
    pub name: String,
    pub layer: Layer,
}

/// The settings that `key` sets in an export's table: of several sections with
/// this key, that of the first section, and the settings that share its flag.
fn export_settings(key: &str) -> Vec<&'static Setting> {
    let with_key = || all_export_settings().filter(move |setting| setting.key() == key);
    let flag = with_key().next().and_then(|first| first.flag);
    let is_same = |(index, setting): &(usize, &Setting)| {
        *index == 0 || setting.flag.is_some() && setting.flag == flag
    };
    let same = with_key().enumerate().filter(is_same);
    same.map(|(_, setting)| setting).collect()
}

fn all_export_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().copied().filter(|setting| {
        let section = setting.section();
        section.is_some_and(|section| section == QUERY || export_table(section).is_some())
    })
}

/// The table of a section within an export's table, if there may be one.
fn export_table(section: &str) -> Option<&'static str> {
    let is_its = |table: &&str| {
        let name = table
            .strip_prefix(EXPORT)
            .and_then(|rest| rest.strip_prefix('.'));
        name == Some(section)
    };
    EXPORT_TABLES.into_iter().find(is_its)
}

/// A file being read.
struct ConfigFile<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
    exports: Vec<ExportTable>,
    /// The table of the export that is being read, as messages name it.
    export_table: Option<&'static str>,
}

impl ConfigFile<'_> {
    fn section(&mut self, name: &Spanned<String>, section: Spanned<Node>) -> Result<()> {
        let at = name.span().start;
        let known = |setting: &&Setting| setting.section() == Some(name.get_ref());
        if !SETTINGS.iter().any(known) {
            let what = format!("there is no section {}", quoted(name.get_ref()));
            let hint = section_of(name.get_ref()).map_or_else(
                || {
                    let sections = SETTINGS.iter().filter_map(|setting| setting.section());
                    nearest(name.get_ref(), sections.chain([EXPORT]))
                },
                |section| Some(format!("{} belongs into [{section}]", name.get_ref())),
            );
            return Err(with_hint(self.refuse(at, what), hint));
        }
        let Node::Table(entries) = section.into_inner() else {
            let what = format!("{} is a section, not a value", name.get_ref());
            let hint = format!(
                "write [{}] on a line of its own, and its keys below",
                name.get_ref()
            );
            return Err(self.refuse(at, what).with_hint(hint));
        };
        self.entries(name.get_ref(), entries)
    }

    fn entries(&mut self, section: &str, entries: Vec<Entry>) -> Result<()> {
        let known = |setting: &&Setting| setting.section() == Some(section);
        for (key, value) in entries {
            let full = format!("{section}.{}", key.get_ref());
            let Some(setting) = Setting::named(&full) else {
                let what = format!("[{section}] has no key {}", quoted(key.get_ref()));
                let keys = SETTINGS.iter().copied().filter(known).map(Setting::key);
                let hint = hint_for_key(section, key.get_ref(), keys);
                return Err(with_hint(self.refuse(key.span().start, what), hint));
            };
            self.entry(setting, value)?;
        }
        Ok(())
    }

    /// Reads the `[[export]]` tables.
    fn exports(&mut self, name: &Spanned<String>, tables: Spanned<Node>) -> Result<()> {
        let at = name.span().start;
        let Node::List(tables) = tables.into_inner() else {
            let what = "[export] is a list of tables";
            let hint = "write [[export]] above each export";
            return Err(self.refuse(at, what).with_hint(hint));
        };
        let file_layer = mem::take(&mut self.layer);
        self.export_table = Some(EXPORT_TABLE);
        for table in tables {
            let at = table.span().start;
            let Node::Table(entries) = table.into_inner() else {
                return Err(self.refuse(at, "an export is a table: [[export]]"));
            };
            let name = self.export(at, entries)?;
            let layer = mem::take(&mut self.layer);
            self.exports.push(ExportTable { name, layer });
        }
        self.layer = file_layer;
        self.export_table = None;
        Ok(())
    }

    /// Reads one export, whose settings become the layer, and returns its name.
    fn export(&mut self, at: usize, entries: Vec<Entry>) -> Result<String> {
        let mut name = None;
        for (key, value) in entries {
            let at = key.span().start;
            let key = key.into_inner();
            if key == NAME {
                name = Some(self.name(value)?);
                continue;
            }
            if let Some(table) = export_table(&key) {
                let value = value.into_inner();
                let value = match value {
                    Node::List(outputs) if table == OUTPUT_TABLE => {
                        self.outputs(at, outputs)?;
                        continue;
                    }
                    value => value,
                };
                let Node::Table(entries) = value else {
                    let what = format!("{key} is a table here: [export.{key}]");
                    let hint = right_key(EXPORT, &key).map(str::to_owned);
                    return Err(with_hint(self.refuse(at, what), hint));
                };
                self.export_table = Some(table);
                self.entries(&key, entries)?;
                self.export_table = Some(EXPORT_TABLE);
                continue;
            }
            let settings = export_settings(&key);
            let [first, others @ ..] = &settings[..] else {
                let what = format!("[[export]] has no key {}", quoted(&key));
                let keys = all_export_settings().map(Setting::key);
                let hint = hint_for_key(EXPORT, &key, keys.chain([NAME]));
                return Err(with_hint(self.refuse(at, what), hint));
            };
            self.entry(first, value)?;
            // A key of several formats is set for each of them.
            for other in others {
                if let Some(found) = self.layer.entry(*first).cloned() {
                    self.layer.insert(other, found.value, found.origin);
                }
            }
        }
        name.ok_or_else(|| {
            self.refuse(at, "this export has no name")
                .with_hint("add name = \"…\": letters, digits, `_`, `-` and `.`")
        })
    }

    /// Reads the `[[export.output]]` tables of an export.
    fn outputs(&mut self, at: usize, tables: Vec<Spanned<Node>>) -> Result<()> {
        let mut export = mem::take(&mut self.layer);
        let mut outputs = Vec::new();
        for table in tables {
            let Node::Table(entries) = table.into_inner() else {
                return Err(self.refuse(at, "an output is a table: [[export.output]]"));
            };
            self.export_table = Some(OUTPUT_TABLE);
            self.output(entries)?;
            outputs.push(mem::take(&mut self.layer));
        }
        self.export_table = Some(EXPORT_TABLE);
        export.outputs = outputs;
        self.layer = export;
        Ok(())
    }

    /// Reads one output, whose settings become the layer.
    fn output(&mut self, entries: Vec<Entry>) -> Result<()> {
        for (key, value) in entries {
            if let Some(table) = export_table(key.get_ref()).filter(|table| *table != OUTPUT_TABLE)
            {
                let Node::Table(entries) = value.into_inner() else {
                    let what = format!("{} is a table here", key.get_ref());
                    return Err(self.refuse(key.span().start, what));
                };
                let outer = self.export_table.replace(table);
                self.entries(key.get_ref(), entries)?;
                self.export_table = outer;
                continue;
            }
            if OF_ALL_OUTPUTS.contains(&key.get_ref().as_str()) {
                let what = format!("{} is for all outputs of the rows", key.get_ref());
                let refused = self.refuse(key.span().start, what);
                return Err(refused.with_hint("write it above, below [[export]]"));
            }
            self.entries(OUTPUT, vec![(key, value)])?;
        }
        Ok(())
    }

    fn name(&self, value: Spanned<Node>) -> Result<String> {
        let at = value.span().start;
        let hint = "letters, digits, `_`, `-` and `.`, in quotes";
        match value.into_inner() {
            Node::Text(name) if !name.is_empty() && name.chars().all(is_bare) => {
                if self.exports.iter().any(|export| export.name == name) {
                    return Err(self.refuse(at, format!("two exports are called {name}")));
                }
                Ok(name)
            }
            _ => Err(self
                .refuse(at, "that is no name for an export")
                .with_hint(hint)),
        }
    }

    fn entry(&mut self, setting: &'static Setting, value: Spanned<Node>) -> Result<()> {
        let origin = self.origin(value.span().start);
        let wrong = |origin: &Origin, what: &str| Err(origin.refuse(setting, what));
        if self.layer.entry(setting).is_some() {
            return wrong(&origin, "is given twice");
        }
        let value = match (setting.kind, value.into_inner()) {
            (Kind::Switch, Node::Switch(switch)) => Value::from(switch),
            (_, Node::Text(written)) if written.contains("${") => {
                self.text(setting, &written, &origin)?
            }
            (Kind::Switch, _) => return wrong(&origin, "is true or false, without quotes"),
            (Kind::Number(_), Node::Integer(number)) => {
                return self
                    .layer
                    .parse(setting, number.to_string().as_ref(), origin);
            }
            (Kind::Number(_), _) => return wrong(&origin, "is a number, without quotes"),
            (Kind::List(parser), Node::List(nodes)) => self.list(setting, parser, nodes)?,
            (Kind::List(_), _) => return wrong(&origin, LIST),
            (Kind::Parameters, Node::Table(entries)) => {
                let parameters = entries.into_iter();
                let parameters = parameters.map(|entry| self.parameter(entry));
                let parameters = parameters.collect::<Result<_>>()?;
                self.layer.set(keys::QUERY_PARAMS, parameters, origin);
                return Ok(());
            }
            (Kind::Parameters, _) => return wrong(&origin, TABLE),
            (_, Node::Text(written)) => self.text(setting, &written, &origin)?,
            (Kind::Duration, Node::Integer(_)) => {
                return wrong(&origin, "is a text with a unit, such as \"30s\"");
            }
            _ => return wrong(&origin, "is a text: write it in quotes"),
        };
        self.layer.insert(setting, value, origin);
        Ok(())
    }

    /// The value of a setting as a text, with the values of its variables. Paths are
    /// relative to the folder of the file: the current folder may be any, for example
    /// under cron. An error shows the text as it is written: a variable may hold a
    /// secret.
    fn text(&self, setting: &'static Setting, written: &str, origin: &Origin) -> Result<Value> {
        let text = variables::expand(written, setting, origin)?;
        let value = match setting.kind {
            Kind::List(_) => return Err(origin.refuse(setting, LIST)),
            Kind::Parameters => return Err(origin.refuse(setting, TABLE)),
            kind @ (Kind::Path | Kind::Template) if !matches!(&*text, "-" | "") => {
                let folder = folder_of(self.path);
                kind.path(text.as_ref().as_ref(), folder)
            }
            kind => kind.parse(text.as_ref().as_ref()),
        };
        value.map_err(|problem| setting.refuse_text(written.as_ref(), &problem, origin))
    }

    /// The list of `nodes`, each of which `parser` takes.
    fn list(
        &self,
        setting: &'static Setting,
        parser: &dyn ListParser,
        nodes: Vec<Spanned<Node>>,
    ) -> Result<Value> {
        let mut list = parser.empty_list();
        for node in nodes {
            let origin = self.origin(node.span().start);
            let Node::Text(written) = node.into_inner() else {
                return Err(origin.refuse(setting, "is a list of texts in quotes"));
            };
            let text = variables::expand(&written, setting, &origin)?;
            let item = parser.parse_item(&text).map_err(|problem| {
                origin.refuse(setting, &format!("cannot hold {written:?}: {problem}"))
            })?;
            list = parser.concat(&list, &item);
        }
        Ok(list)
    }

    fn parameter(&self, (name, value): Entry) -> Result<Parameter> {
        let origin = self.origin(name.span().start);
        let wrong = |problem: &str| {
            let what = format!("{}: {problem}", quoted(name.get_ref()));
            origin.refuse(keys::QUERY_PARAMS, &what)
        };
        let text = |node, wanted: &str| match node {
            Node::Text(written) => {
                let text = variables::expand(&written, keys::QUERY_PARAMS.setting(), &origin);
                text.map(Cow::into_owned)
            }
            Node::Integer(number) => Ok(number.to_string()),
            _ => Err(wrong(wanted)),
        };
        let value = match value.into_inner() {
            Node::List(nodes) => {
                let texts = nodes.into_iter();
                let texts = texts.map(|node| text(node.into_inner(), ITEMS));
                ParameterValue::list(texts.collect::<Result<_>>()?).map_err(wrong)?
            }
            node => text(node, "a value is a text in quotes")?.into(),
        };
        Parameter::new(name.get_ref(), value).map_err(|problem| {
            let what = format!("cannot hold {}: {problem}", quoted(name.get_ref()));
            origin.refuse(keys::QUERY_PARAMS, &what)
        })
    }

    /// An error about the place at byte `at`.
    fn refuse(&self, at: usize, what: impl fmt::Display) -> Error {
        let Place {
            path,
            line,
            column,
            shown,
            ..
        } = self.place(at);
        Error::config(format!(
            "{}:{line}:{column}: {what}: {shown}",
            path.display()
        ))
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::ConfigFile(Rc::new(self.place(at)))
    }

    fn place(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let mut earlier = self.text[..start].lines().rev();
        let header = earlier
            .find(|line| line.starts_with('['))
            .unwrap_or_default();
        let section = header.trim_matches(['[', ']', ' ']);
        Place {
            table: self.export_table,
            path: self.path.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[start..].chars().count(),
            shown: shown(line, section),
        }
    }
}

/// The folder that paths in the file at `path` are relative to: the current one for
/// standard input and pipes, which have none.
fn folder_of(path: &Path) -> &Path {
    let is_special = ["/dev", "/proc"].iter().any(|root| path.starts_with(root));
    let is_file = !is_special && path.is_file();
    path.parent().filter(|_| is_file).unwrap_or(Path::new(""))
}

/// The section that has a key of this name.
fn section_of(key: &str) -> Option<&'static str> {
    file_settings()
        .find(|setting| setting.key() == key)?
        .section()
}

/// Returns a hint for the unknown `key` of `section`, which has the keys `names`.
fn hint_for_key(
    section: &str,
    key: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<String> {
    if let Some(hint) = right_key(section, key) {
        return Some(hint.to_owned());
    }
    match section_of(key) {
        Some(section) => Some(format!("{key} belongs into [{section}]")),
        None => nearest(key, names),
    }
}

/// Returns a hint with the names that are nearest to `typed`, or with all names.
fn nearest(typed: &str, names: impl Iterator<Item = &'static str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut names: Vec<&str> = names.filter(|name| seen.insert(*name)).collect();
    // `pasword` means `password_file` or `password_env`.
    let distance = |name: &str| {
        let begin: String = name.chars().take(typed.chars().count() + 1).collect();
        let whole = strsim::damerau_levenshtein(name, typed);
        whole.min(strsim::damerau_levenshtein(&begin, typed))
    };
    let min_distance = names.iter().map(|name| distance(name)).min()?;
    if min_distance <= typed.len() / 2 {
        names.retain(|name| distance(name) == min_distance);
        return Some(format!("did you mean `{}`?", names.join("` or `")));
    }
    Some(format!("there are {}", names.join(", ")))
}

fn with_hint(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Removes the text of the file from a message of the TOML parser: a URL in the
/// wrong place is still a secret.
fn without_values(message: &str) -> String {
    if message.contains("spanned value") {
        return "dates and times are texts: write them in quotes".to_owned();
    }
    let (before, expected) = match message.split_once(", expected ") {
        Some((before, expected)) => (before, format!(", expected {expected}")),
        None => (message, String::new()),
    };
    let before = before.split([':', '`', '"']).next().unwrap_or_default();
    format!("{}{expected}", before.trim_end())
}
