//! Fuzzes SQL text: the number of statements, the end of the statement to run, and
//! its parameters.

#![no_main]

use gold_digger::sql::{Parameter, Query, QuotingMode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(query) = Query::parse(text) else {
        return;
    };
    let parameters: Vec<Parameter> = ["a=1", "b=x'y", "day=2026-11-21"]
        .iter()
        .flat_map(|parameter| parameter.parse())
        .collect();
    for parameters in [&parameters[..], &parameters[..1], &[]] {
        for mode in [
            QuotingMode::Default,
            QuotingMode::from_sql_mode("ANSI_QUOTES"),
            QuotingMode::from_sql_mode("NO_BACKSLASH_ESCAPES"),
            QuotingMode::from_sql_mode("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"),
        ] {
            if let Ok(bound) = query.bind(mode, parameters) {
                // Each value has a question mark; the text may contain others.
                assert!(bound.sql.matches('?').count() >= bound.values.len());
                // Everything except the parameters is in the text, in the same order.
                let mut rest = text;
                for part in bound.sql.split('?') {
                    let found = rest.find(part).expect("a part of the text");
                    rest = &rest[found + part.len()..];
                }
            }
        }
    }
});
