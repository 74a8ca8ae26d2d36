//! Renders the resolved settings as JSON for `--dump-config`: every setting with
//! its value and its origin. Secrets are `***`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{
    connection::ConnectionSettings,
    export::UnresolvedExport,
    layers::Layers,
    origin::{Origin, WithOrigin},
    query,
    secrets::is_variable_name,
    settings::{Key, SETTINGS, keys},
    tls::TlsMode,
};
use crate::text::redact_json;

const HIDDEN: &str = "***";

/// What `--dump-config` shows.
pub(super) struct Dump<'a> {
    pub layers: &'a Layers,
    pub connection: &'a ConnectionSettings,
    pub export: &'a UnresolvedExport,
    pub tls_mode: &'a (TlsMode, Origin),
}

impl Dump<'_> {
    /// Returns an object of sections, in the order of the table of settings, with
    /// one line for each setting.
    pub fn to_text(&self) -> String {
        let resolved = self.resolved();
        let mut text = String::from("{");
        let mut last = None;
        for setting in SETTINGS.iter().copied() {
            let section = setting.dump_section();
            if last == Some(section) {
                text += ",";
            } else {
                let end = if last.is_some() { "\n  }," } else { "" };
                text += &format!("{end}\n  {}: {{", json!(section));
                last = Some(section);
            }
            let given = self.layers.entry(setting);
            let given = given
                .map(|found| (found.value.shown(), &found.origin))
                .unzip();
            let (value, origin) = match resolved.0.get(setting.name) {
                Some((value, origin)) => (value.as_ref(), *origin),
                None => given,
            };
            let origin = origin.unwrap_or(&Origin::Default).to_string();
            let (key, value, origin) = (setting.key(), value.unwrap_or(&Json::Null), json!(origin));
            let line = format!(
                "\n    {}: {{\"value\": {value}, \"origin\": {origin}}}",
                json!(key)
            );
            // A URL may be in the wrong place.
            text += &redact_json(&line);
        }
        text + "\n  }\n}\n"
    }

    /// The settings whose resolved value or origin may differ from that of the
    /// highest layer.
    fn resolved(&self) -> Resolved<'_> {
        let mut resolved = Resolved::default();
        let connection = self.connection;
        resolved.add_field(keys::HOST, connection.host.as_ref());
        resolved.add_field(keys::PORT, connection.port.as_ref());
        resolved.add_field(keys::SOCKET, connection.socket.as_ref());
        resolved.add_field(keys::USER, connection.user.as_ref());
        resolved.add_field(keys::DATABASE, connection.database.as_ref());
        let password = connection.password.as_ref();
        let (value, origin) = password.map(|found| (json!(HIDDEN), &found.origin)).unzip();
        resolved.add(keys::PASSWORD, value, origin);
        let variable = self.layers.value(keys::PASSWORD_ENV);
        // It may be a password in the wrong place.
        if variable.is_some_and(|name| !is_variable_name(&name)) {
            let origin = self.layers.origin(keys::PASSWORD_ENV);
            resolved.add(keys::PASSWORD_ENV, Some(json!(HIDDEN)), origin);
        }
        let (mode, origin) = self.tls_mode;
        resolved.add(keys::TLS_MODE, Some(json!(mode.name())), Some(origin));
        self.add_export(&mut resolved);
        resolved
    }

    fn add_export<'a>(&'a self, resolved: &mut Resolved<'a>) {
        let query = self.export.query.as_ref();
        let text = query.map(|(query, _)| json!(query.text()));
        let origin = query::origin(self.layers);
        resolved.add(keys::QUERY_SQL, text, origin);

        let parameters = query.into_iter().flat_map(|(_, parameters)| parameters);
        let parameters: Map<String, Json> = parameters
            .map(|one| (one.name.clone(), json!(one.value)))
            .collect();
        let origin = self.layers.origin(keys::QUERY_PARAMS);
        resolved.add(keys::QUERY_PARAMS, Some(Json::Object(parameters)), origin);

        let destination = &self.export.destination;
        let path = destination.target.path();
        let path = path.map_or_else(|| json!("-"), |path| json!(path.to_string_lossy()));
        let origin = Some(&destination.target_origin);
        resolved.add(keys::OUTPUT_PATH, Some(path), origin);
        let files = [
            (keys::LOAD_STATEMENT, &self.export.statement_file),
            (keys::SCHEMA_FILE, &self.export.schema_file),
        ];
        for (key, file) in files {
            if let Some(file) = file {
                let path = json!(file.value.to_string_lossy());
                resolved.add(key, Some(path), Some(&file.origin));
            }
        }
        let compression = destination.compression.as_ref().map(|found| {
            let value = found
                .value
                .map_or("none".to_owned(), |value| value.to_string());
            (json!(value), &found.origin)
        });
        let (value, origin) = compression.unzip();
        resolved.add(keys::COMPRESSION, value, origin);
        let format = Some(json!(destination.format.name));
        let origin = Some(&destination.format_origin);
        resolved.add(keys::OUTPUT_FORMAT, format, origin);
    }
}

/// Values and origins of settings, by the names of the settings.
#[derive(Default)]
struct Resolved<'a>(BTreeMap<&'static str, (Option<Json>, Option<&'a Origin>)>);

impl<'a> Resolved<'a> {
    fn add<T>(&mut self, key: Key<T>, value: Option<Json>, origin: Option<&'a Origin>) {
        self.0.insert(key.setting().name, (value, origin));
    }

    fn add_field<T, U: Serialize>(&mut self, key: Key<T>, field: Option<&'a WithOrigin<U>>) {
        let field = field.map(|field| (json!(field.value), &field.origin));
        let (value, origin) = field.unzip();
        self.add(key, value, origin);
    }
}

/// Combines the texts of all exports. The text of an export without a name is the
/// whole.
pub(super) fn combine(exports: Vec<(Option<String>, String)>) -> String {
    let mut text = String::from("{\n\"exports\": {");
    let mut separator = "\n";
    for (name, export) in exports {
        let Some(name) = name else {
            return export;
        };
        text += &format!("{separator}{}: {}", json!(name), export.trim_end());
        separator = ",\n";
    }
    text + "\n}\n}\n"
}
