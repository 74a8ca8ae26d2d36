//! Excel and other spreadsheets, which open CSV files themselves.

use super::{Limits, LoadTarget, NameRules};

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "excel",
    about: "Excel and LibreOffice Calc, which open it",
    preset: &[
        ("output.format", "csv"),
        ("csv.bom", "true"),
        ("csv.line_ending", "crlf"),
        ("csv.formulas", "escape"),
        // Hexadecimal digits alone may look like a number, and base64 like a formula.
        ("values.binary", "postgres"),
        ("values.booleans", "words"),
    ],
    limits: Limits {
        spreadsheet: true,
        ..Limits::NONE
    },
    names: NameRules::ANY,
    sql: None,
    codecs: &[],
};
