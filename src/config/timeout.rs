//! Lengths of time with units.

use std::{str::FromStr, time::Duration};

use jiff::SignedDuration;

/// A length of time with its unit: `500ms`, `30s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl Timeout {
    /// MariaDB's longest `max_statement_time`, 365 days.
    pub const MAX: Duration = Duration::from_secs(31_536_000);
    /// The unit of MySQL's `max_execution_time`.
    const MIN: Duration = Duration::from_millis(1);
}

impl FromStr for Timeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.parse::<SignedDuration>();
        let parsed =
            parsed.map_err(|_| "write a number and a unit, such as 500ms, 30s, 5m or 2h")?;
        match Duration::try_from(parsed) {
            Ok(time) if (Self::MIN..=Self::MAX).contains(&time) => Ok(Self(time)),
            _ => Err("it is not between 1ms and 8760h"),
        }
    }
}
