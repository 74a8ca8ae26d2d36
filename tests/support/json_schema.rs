//! Validates documents by the JSON Schema files of `docs/`.

use std::{collections::BTreeSet, fs, path::Path};

use boon::{Compiler, Schemas};
use serde_json::Value as Json;

/// Returns the schema `docs/NAME.schema.json`.
pub fn json_schema(name: &str) -> Json {
    let path = format!("docs/{name}.schema.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    serde_json::from_slice(&fs::read(path).expect("a schema")).expect("JSON")
}

/// Returns why `document` is not as `docs/NAME.schema.json` says; `None` if it is.
pub fn schema_violation(name: &str, document: &Json) -> Option<String> {
    let place = "https://example.com/schema.json";
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler
        .add_resource(place, json_schema(name))
        .expect("a schema");
    let compiled = compiler.compile(place, &mut schemas);
    let compiled = compiled.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    let checked = schemas.validate(document, compiled);
    checked.err().map(|error| format!("{error:#}"))
}

/// Asserts that `document` is as `docs/NAME.schema.json` says.
#[track_caller]
pub fn assert_as_schema(name: &str, document: &Json) {
    if let Some(violation) = schema_violation(name, document) {
        panic!("{violation}\n{document:#}");
    }
}

/// Returns the names of the members of `object`.
pub fn members(object: &Json) -> BTreeSet<&str> {
    let members = object.as_object().expect("an object");
    members.keys().map(String::as_str).collect()
}
