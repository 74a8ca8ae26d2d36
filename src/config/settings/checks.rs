//! What the values of settings must be like, beyond their kind.

use std::{
    fmt::Display,
    num::{NonZeroU16, NonZeroU32},
    str::FromStr,
};

use clap::{ValueEnum, builder::PossibleValue};

use super::Kind;
use crate::sql::Query;

pub(super) const fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

pub(super) fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(())
}

pub(super) fn parses<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
    let parsed = text.parse::<T>();
    parsed.map(drop).map_err(|error| error.to_string())
}

pub(super) fn host(text: &str) -> Result<(), String> {
    if text.contains(['/', '@']) {
        return Err("it is a name or an address; --db-url takes a URL".to_owned());
    }
    not_empty(text)
}

pub(super) fn port(text: &str) -> Result<(), String> {
    let parsed = text.parse::<NonZeroU16>();
    let refused = |_| "it is a number from 1 to 65535".to_owned();
    parsed.map(drop).map_err(refused)
}

pub(super) fn retries(text: &str) -> Result<(), String> {
    let most = 1000;
    let in_range = text.parse::<u32>().is_ok_and(|number| number <= most);
    let refused = format!("it is a number from 0 to {most}");
    in_range.then_some(()).ok_or(refused)
}

pub(super) fn rows(text: &str) -> Result<(), String> {
    let refused = |_| "it is a whole number of rows".to_owned();
    text.parse::<u64>().map(drop).map_err(refused)
}

pub(super) fn connections(text: &str) -> Result<(), String> {
    let most = 256;
    let in_range = text
        .parse::<u16>()
        .is_ok_and(|number| (1..=most).contains(&number));
    let refused = format!("it is a number from 1 to {most}");
    in_range.then_some(()).ok_or(refused)
}

pub(super) fn kept(text: &str) -> Result<(), String> {
    let refused = |_| "it is a number of files, at least 1".to_owned();
    text.parse::<NonZeroU32>().map(drop).map_err(refused)
}

pub(super) fn pattern(text: &str) -> Result<(), String> {
    let refused = |error| format!("it is no pattern: {error}");
    glob::Pattern::new(text).map(drop).map_err(refused)
}

pub(super) fn one_statement(text: &str) -> Result<(), String> {
    Query::parse(text)
        .map(drop)
        .map_err(|error| error.message().to_owned())
}

pub(super) const fn choice<T: ValueEnum>() -> Kind {
    Kind::Choice(choices::<T>)
}

pub(super) fn choices<T: ValueEnum>() -> Vec<PossibleValue> {
    let values = T::value_variants().iter();
    values.filter_map(ValueEnum::to_possible_value).collect()
}
