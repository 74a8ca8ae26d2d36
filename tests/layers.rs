//! The layers of the sources: a module uses only modules of the floors below its
//! own. It needs no server.

// A test that cannot go on ends with a panic.
#![allow(clippy::expect_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules of each floor, from the ground up. Modules of one floor do not use
/// each other.
const FLOORS: &[&[&str]] = &[
    &["text", "schema", "row", "sync", "panics"],
    &["error"],
    &["cancel", "sql", "format"],
    &["sink", "source", "load"],
    &["artifacts", "pipeline"],
    &["jobs"],
    &["config"],
    &["cli"],
];

/// The roots of the library and of the program, which may use every module.
const ROOTS: [&str; 2] = ["lib", "main"];

#[test]
fn no_module_uses_one_of_its_own_floor_or_above() {
    let mut violations = Vec::new();
    for path in sources(Path::new("src")) {
        let module = top_module(&path);
        if ROOTS.contains(&module.as_str()) {
            continue;
        }
        let floor = floor(&module)
            .unwrap_or_else(|| panic!("{} is on no floor: add it to FLOORS", path.display()));
        let text = fs::read_to_string(&path).expect("a source file");
        for used in used_modules(&text) {
            if used != module && self::floor(&used).is_none_or(|other| other >= floor) {
                violations.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "
        use crate::{
            // crate::comment
            error::{Error, Result},
            sink, text::printable as shown,
        };
        pub use crate::row::Row;
        fn f() -> crate::schema::Schema { crate::cancel::run() }
        #[cfg(test)]
        mod tests { use crate::jobs::Runner; }
    ";
    let found: Vec<String> = used_modules(text).into_iter().collect();
    assert_eq!(found, ["cancel", "error", "row", "schema", "sink", "text"]);
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module right below the crate's root that the file at `path` belongs to.
fn top_module(path: &Path) -> String {
    let below = path.strip_prefix("src").expect("a file below src");
    let first = below.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The modules below the crate's root that `text` uses outside its tests.
fn used_modules(text: &str) -> BTreeSet<String> {
    let without_comments = text.lines().map(|line| line.split("//").next());
    let code: Vec<&str> = without_comments.map(Option::unwrap_or_default).collect();
    let code = code.join("\n");
    // A module of tests is the last thing in a file.
    let is_of_tests = |part: &&str| !part.trim_start().starts_with("mod tests");
    let parts: Vec<&str> = code.split("#[cfg(test)]").take_while(is_of_tests).collect();
    let code = parts.concat();
    let paths = code.split("crate::").skip(1);
    paths.flat_map(first_names).collect()
}

/// The first name of each path that follows `crate::`: `a` of `a::b`, and `a` and
/// `c` of `{a::b, c}`.
fn first_names(rest: &str) -> Vec<String> {
    let is_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c| !is_of_a_name(c)).unwrap_or(text.len());
        text[..end].to_owned()
    };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![name(rest)];
    };
    let mut names = vec![name(list)];
    let mut depth = 0;
    for (place, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&list[place + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}
