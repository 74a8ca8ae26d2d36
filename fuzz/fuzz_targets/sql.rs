//! Fuzzes SQL text: the number of statements, the end of the statement to run, and
//! its parameters.

#![no_main]

use gold_digger::sql::{Dialect, Parameter, Query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(query) = Query::parse(text) else {
        return;
    };
    let parameters: Vec<Parameter> = ["a=1", "b=x'\\ */ ; /* `", "day=2026-11-21"]
        .iter()
        .flat_map(|parameter| parameter.parse())
        .collect();
    for parameters in [&parameters[..], &parameters[..1], &[]] {
        for (version, mode) in [
            ("9.7.4", ""),
            ("9.7.4", "ANSI_QUOTES"),
            ("9.7.4", "NO_BACKSLASH_ESCAPES"),
            ("11.8.9-MariaDB", ""),
            ("11.8.9-MariaDB", "ANSI_QUOTES"),
            ("11.8.9-MariaDB", "NO_BACKSLASH_ESCAPES"),
            ("11.8.9-MariaDB", "ANSI_QUOTES,MSSQL"),
            ("11.8.9-MariaDB", "MSSQL,NO_BACKSLASH_ESCAPES"),
        ] {
            let dialect = Dialect::of_session(version, mode);
            if let Ok(bound) = query.bind(dialect, parameters) {
                // Without parameters, it is a part of the text.
                if parameters.is_empty() {
                    assert!(text.contains(&bound.sql));
                }
                // A value ends neither a quote nor a comment nor the statement.
                let again = Query::parse(&*bound.sql).and_then(|query| query.bind(dialect, &[]));
                assert_eq!(again.expect("one statement").sql, bound.sql);
            }
        }
    }
});
