//! Keys that people expect in the configuration file, and what stands there instead.

/// The sections of a synonym, its names, and what to write.
type Synonym = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const SYNONYMS: [Synonym; 8] = [
    (
        &["output", "export"],
        &[
            "file",
            "filename",
            "target",
            "output",
            "out",
            "to",
            "dest",
            "destination",
        ],
        "path = \"FILE\" names the output",
    ),
    (
        &["query", "export"],
        &["query", "statement", "text"],
        "sql = \"SELECT …\" is the query, or file = \"FILE\" names one",
    ),
    (
        &["query", "export"],
        &["order_by", "order"],
        "write it into the query: sql = \"SELECT * FROM …\"",
    ),
    (
        &["query"],
        &["columns"],
        "select = [\"a\", \"b\"] chooses the columns of a table",
    ),
    (
        &["output", "export"],
        &["compress", "gzip", "zstd"],
        "compression = \"gzip\" or \"zstd\", or a path that ends in .gz or .zst",
    ),
    (
        &["connection"],
        &["username", "login", "account"],
        "user = \"NAME\"",
    ),
    (
        &["connection"],
        &["hostname", "server", "address"],
        "host = \"NAME\"",
    ),
    (
        &["connection"],
        &["db", "dbname", "schema"],
        "database = \"NAME\"",
    ),
];

/// Returns what to write in `section` instead of `key`; for an export's table, the
/// section is `export`.
pub(super) fn right_key(section: &str, key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let is_it = |(sections, keys, _): &&Synonym| {
        sections.contains(&section) && keys.contains(&key.as_str())
    };
    SYNONYMS.iter().find(is_it).map(|(_, _, hint)| *hint)
}
