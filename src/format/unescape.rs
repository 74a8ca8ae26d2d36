//! Reads fields of TSV, for the property tests and for `fuzz_targets/values.rs`.

/// Removes the escapes from a field of TSV by the rules of LOAD DATA; returns
/// `None` for NULL.
pub(crate) fn unescape(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next().expect("a letter after each backslash") {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                '0' => '\0',
                '\\' => '\\',
                other => panic!("an unknown escape {other:?}"),
            },
            c => c,
        });
    }
    Some(text)
}
