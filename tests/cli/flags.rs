//! The flags that messages, hints and the help name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use gold_digger::cli::args::command;

/// Every word that looks like a flag in the texts of the sources.
fn flags_in_texts() -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for path in sources("src".as_ref()) {
        let text = fs::read_to_string(&path).expect("a source file");
        // It lists flags that do not exist.
        let text = match path.ends_with("usage/foreign_flags.rs") {
            true => without_lists(&text),
            false => text,
        };
        // The code of tests, and comments, are no messages.
        let code = text
            .split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default();
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            for (at, _) in line.match_indices("--") {
                let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                let name = &line[at + 2..];
                let name = &name[..name.find(|c| !is_word(c)).unwrap_or(name.len())];
                if name.starts_with(|c: char| c.is_ascii_lowercase()) && !line[..at].ends_with('-')
                {
                    flags.insert(name.trim_end_matches('-').to_owned());
                }
            }
        }
    }
    flags
}

/// `text` without its lists `&[…]`.
fn without_lists(text: &str) -> String {
    let mut parts = text.split("&[");
    let first = parts.next().unwrap_or_default().to_owned();
    let after_lists = parts.filter_map(|part| part.split_once(']'));
    first + &after_lists.map(|(_, after)| after).collect::<String>()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn every_flag_that_a_message_names_exists() {
    let command = command();
    let mut known: BTreeSet<String> = command
        .get_arguments()
        .flat_map(|arg| arg.get_long_and_visible_aliases().unwrap_or_default())
        .map(str::to_owned)
        .collect();
    known.extend(["version".to_owned()]);
    // A flag of `mysql`, which a hint explains, those of sqlite's `.import`, and of `aws`.
    known.extend(["quick", "csv", "schema", "skip", "profile", "format"].map(str::to_owned));
    let unknown: Vec<String> = flags_in_texts().difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(flags_in_texts().len() > 40, "they are not found");
}
