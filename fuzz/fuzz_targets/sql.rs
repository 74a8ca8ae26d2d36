//! SQL text: how many statements, where the one ends, and its parameters.

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
                // A question mark for each value; others stand in the text itself.
                assert!(bound.sql.matches('?').count() >= bound.values.len());
                // All but the parameters is the text's, in its order.
                let mut rest = text;
                for part in bound.sql.split('?') {
                    let found = rest.find(part).expect("a part of the text");
                    rest = &rest[found + part.len()..];
                }
            }
        }
    }
});
