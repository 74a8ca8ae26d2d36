//! The date that a run is for, if it is not the one on which it starts: a backfill.

use std::str::FromStr;

use jiff::{civil::DateTime, fmt::strtime};

/// The date that output paths are named for, and its time of day if one is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunDate {
    /// The date; at midnight if no time is given.
    pub start: DateTime,
    /// Whether a time is given.
    pub has_time: bool,
}

/// Parses `2020-01-03` or `2020-01-03T04:05:06`.
impl FromStr for RunDate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |form: &str| {
            let parsed = strtime::parse(form, text).ok()?;
            let date = parsed.to_date().ok()?;
            let start = parsed.to_datetime().unwrap_or(date.into());
            // Neither a shorter form nor a sign is accepted.
            (strtime::format(form, start).ok()? == text).then_some(start)
        };
        let date = || Some((parse("%Y-%m-%d")?, false));
        let time = || Some((parse("%Y-%m-%dT%H:%M:%S")?, true));
        let (start, has_time) = date()
            .or_else(time)
            .ok_or("it is a date such as 2020-01-03, or 2020-01-03T04:05:06")?;
        Ok(Self { start, has_time })
    }
}
