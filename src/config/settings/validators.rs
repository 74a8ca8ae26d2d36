//! The parsers of the table of settings. Each turns a text into a value, or says
//! what is wrong with it in a sentence of its own.

use std::{
    fmt::Display,
    num::{NonZeroU16, NonZeroU32, NonZeroU64},
    str::FromStr,
};

use clap::{ValueEnum, builder::PossibleValue};
use glob::Pattern;

use crate::{
    config::{format, preset},
    format::{BuiltIn, Compression},
    load::LoadTarget,
    sql::Query,
};

pub(super) fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn host(text: &str) -> Result<String, String> {
    if text.contains(['/', '@']) {
        return Err("it is a name or an address; --db-url takes a URL".to_owned());
    }
    if text.contains(char::is_whitespace) {
        return Err("it is a name or an address, without spaces".to_owned());
    }
    // An IPv6 address has more colons.
    if let Some((_, port)) = text.split_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err("it has a port, which --port takes".to_owned());
    }
    not_empty(text)
}

pub(super) fn compression(text: &str) -> Result<Option<Compression>, String> {
    match text {
        "none" => Ok(None),
        _ => text.parse().map(Some),
    }
}

/// A size in bytes that a row group can have.
pub(super) fn row_group_size(text: &str) -> Result<u64, String> {
    const MIN: u64 = 1 << 20;
    const MAX: u64 = 2 << 30;
    let size = size(text).filter(|size| (MIN..=MAX).contains(size));
    size.ok_or_else(|| "it is a size from 1MiB to 2GiB".to_owned())
}

/// The size of a file in bytes.
pub(super) fn file_size(text: &str) -> Result<NonZeroU64, String> {
    let size = size(text).and_then(NonZeroU64::new);
    size.ok_or_else(|| "it is a size such as 100MiB or 2GiB".to_owned())
}

/// Zero is one, too.
pub(super) fn byte_count(text: &str) -> Result<u64, String> {
    size(text).ok_or_else(|| "it is a size such as 64MiB or 20GiB".to_owned())
}

/// The number of bytes that `text` says, with a unit or without one.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "KiB" | "K" => 1 << 10,
        "" => 1,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

pub(super) fn port(text: &str) -> Result<NonZeroU16, String> {
    let refused = |_| "it is a number from 1 to 65535".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn retries(text: &str) -> Result<u32, String> {
    const MAX: u32 = 1000;
    let parsed = text.parse().ok().filter(|number| *number <= MAX);
    parsed.ok_or_else(|| format!("it is a number from 0 to {MAX}"))
}

pub(super) fn rows(text: &str) -> Result<u64, String> {
    let refused = |_| "it is a whole number of rows".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn rows_of_file(text: &str) -> Result<NonZeroU64, String> {
    let refused = |_| "it is a number of rows from 1 on".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn rows_per_second(text: &str) -> Result<NonZeroU64, String> {
    let refused = |_| "it is a number of rows per second, at least 1".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn thread_count(text: &str) -> Result<NonZeroU32, String> {
    let refused = |_| "it is a number of threads, at least 1".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn chunk_count(text: &str) -> Result<NonZeroU32, String> {
    const MAX: u32 = 10_000;
    let parsed = text.parse().ok();
    let parsed = parsed.filter(|number: &NonZeroU32| number.get() <= MAX);
    parsed.ok_or_else(|| format!("it is a number from 1 to {MAX}"))
}

pub(super) fn connections(text: &str) -> Result<NonZeroU16, String> {
    const MAX: u16 = 256;
    let parsed = text.parse().ok();
    let parsed = parsed.filter(|number: &NonZeroU16| number.get() <= MAX);
    parsed.ok_or_else(|| format!("it is a number from 1 to {MAX}"))
}

pub(super) fn keep_count(text: &str) -> Result<NonZeroU32, String> {
    let refused = |_| "it is a number of files, at least 1".to_owned();
    text.parse().map_err(refused)
}

pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| format!("it is no pattern: {error}"))
}

pub(super) fn one_statement(text: &str) -> Result<String, String> {
    let parsed = Query::parse(text).map_err(|error| error.message().to_owned());
    match parsed?.keyword().eq_ignore_ascii_case("USE") {
        true => Err(
            "USE is not for here: --database NAME chooses the database, which also \
                     names files"
                .to_owned(),
        ),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn output_format(text: &str) -> Result<&'static BuiltIn, String> {
    BuiltIn::named(text).ok_or_else(|| not_one_of(&format::possible_values()))
}

pub(super) fn load_target(text: &str) -> Result<&'static LoadTarget, String> {
    LoadTarget::named(text).ok_or_else(|| not_one_of(&preset::possible_values()))
}

pub(super) fn parse_choice<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| not_one_of(&choices::<T>()))
}

fn not_one_of(choices: &[PossibleValue]) -> String {
    let names: Vec<&str> = choices.iter().map(PossibleValue::get_name).collect();
    format!("it is one of {}", names.join(", "))
}

pub(super) fn choices<T: ValueEnum>() -> Vec<PossibleValue> {
    let values = T::value_variants().iter();
    values.filter_map(ValueEnum::to_possible_value).collect()
}
