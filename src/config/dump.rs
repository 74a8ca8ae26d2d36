//! What would run, as JSON for people and scripts: every setting with its value
//! and its origin. Secrets are `***`.

use serde_json::{Map, Value as Json, json};

use super::{
    connection::ConnectionSettings,
    export::UnresolvedExport,
    layers::{Layers, Origin, Sourced, Value},
    secrets::is_variable_name,
    settings::{
        ASK_PASSWORD, Kind, PASSWORD, SETTINGS, SSL, Setting, TRANSPORT, VERIFY_SERVER_CERT,
    },
    tls::{self, TlsMode},
};
use crate::text::redact_json;

const HIDDEN: &str = "***";

/// The section of what the configuration file does not have.
const PROGRAM: &str = "program";

/// What `--dump-config` shows.
pub(super) struct Dump<'a> {
    pub layers: &'a Layers,
    pub connection: &'a ConnectionSettings,
    pub export: &'a UnresolvedExport,
    pub tls_mode: &'a (TlsMode, Origin),
}

impl Dump<'_> {
    /// The text: an object of sections, in the order of the table of settings,
    /// and one line a setting.
    pub fn to_text(&self) -> String {
        let mut text = String::from("{");
        let mut last = None;
        for setting in SETTINGS {
            let (section, key) = match setting.name {
                PASSWORD | ASK_PASSWORD | TRANSPORT => ("connection", setting.name),
                SSL | VERIFY_SERVER_CERT => ("tls", setting.name),
                _ => (setting.section().unwrap_or(PROGRAM), setting.key()),
            };
            if last == Some(section) {
                text += ",";
            } else {
                let end = if last.is_some() { "\n  }," } else { "" };
                text += &format!("{end}\n  {}: {{", json!(section));
                last = Some(section);
            }
            let (value, origin) = self.value(setting);
            let origin = origin.unwrap_or(&Origin::Default).to_string();
            let (key, value, origin) = (json!(key), value.unwrap_or_default(), json!(origin));
            let line = format!("\n    {key}: {{\"value\": {value}, \"origin\": {origin}}}");
            // For whoever has put a URL in the wrong place.
            text += &redact_json(&line);
        }
        text + "\n  }\n}\n"
    }

    fn value(&self, setting: &Setting) -> (Option<Json>, Option<&Origin>) {
        let ConnectionSettings {
            host,
            port,
            socket,
            user,
            database,
            password,
            ..
        } = self.connection;
        macro_rules! field {
            ($field:expr) => {
                $field
                    .as_ref()
                    .map(|field| (json!(field.value), &field.origin))
                    .unzip()
            };
        }
        let found = self.layers.get(setting.name);
        let origin = found.map(|found| &found.origin);
        match setting.name {
            "connection.host" => field!(host),
            "connection.port" => field!(port),
            "connection.socket" => field!(socket),
            "connection.user" => field!(user),
            "connection.database" => field!(database),
            PASSWORD => password
                .as_ref()
                .map(|field| (json!(HIDDEN), &field.origin))
                .unzip(),
            "query.sql" => {
                let file = self.layers.get("query.file");
                (
                    self.export
                        .query
                        .as_ref()
                        .map(|(query, _)| json!(query.text())),
                    origin.or(file.map(|file| &file.origin)),
                )
            }
            "query.params" => {
                let values = self
                    .export
                    .query
                    .iter()
                    .flat_map(|(_, parameters)| parameters);
                let values: Map<String, Json> = values
                    .map(|one| (one.name.clone(), json!(one.value)))
                    .collect();
                (Some(Json::Object(values)), origin)
            }
            tls::MODE => (Some(json!(self.tls_mode.0.name())), Some(&self.tls_mode.1)),
            "output.path" => {
                let path = self.export.destination.target.path();
                let path = path.map_or_else(|| json!("-"), |path| json!(path.to_string_lossy()));
                (Some(path), Some(&self.export.destination.target_origin))
            }
            "output.format" => (
                Some(json!(self.export.destination.format.name)),
                Some(&self.export.destination.format_origin),
            ),
            "connection.password_env" if !found.is_some_and(names_a_variable) => {
                (found.map(|_| json!(HIDDEN)), origin)
            }
            _ => (found.map(|found| json(setting.kind, &found.value)), origin),
        }
    }
}

/// What is printed of all of them: of one without a name, its text as it is.
pub(super) fn together(exports: Vec<(Option<String>, String)>) -> String {
    let mut text = String::from("{\n\"exports\": {");
    let mut between = "\n";
    for (name, one) in exports {
        let Some(name) = name else {
            return one;
        };
        text += &format!("{between}{}: {}", json!(name), one.trim_end());
        between = ",\n";
    }
    text + "\n}\n}\n"
}

fn names_a_variable(found: &Sourced) -> bool {
    matches!(&found.value, Value::Text(name) if is_variable_name(&name.to_string_lossy()))
}

fn json(kind: Kind, value: &Value) -> Json {
    match value {
        Value::Switch(switch) => json!(switch),
        Value::Secret(_) => json!(HIDDEN),
        Value::List(list) => json!(list),
        Value::Parameters(_) => Json::Null,
        Value::Text(text) => {
            let text = text.to_string_lossy();
            match (kind, text.parse::<u64>()) {
                (Kind::Number(_), Ok(number)) => json!(number),
                _ => json!(text),
            }
        }
    }
}
