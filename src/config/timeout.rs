//! Lengths of time with units.

use std::{str::FromStr, time::Duration};

use jiff::{Span, SpanRelativeTo};

/// A length of time with its unit: `500ms`, `30s`, `1h 30m`, `365d`. A day has 24
/// hours.
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
        let span = text.parse::<Span>();
        // A month or a year has no certain length.
        let parsed = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
        let parsed =
            parsed.map_err(|_| "write a number and a unit, such as 500ms, 30s, 5m, 2h or 1d")?;
        match Duration::try_from(parsed) {
            Ok(time) if (Self::MIN..=Self::MAX).contains(&time) => Ok(Self(time)),
            _ => Err("it is not between 1ms and 365d"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_accepted_up_to_the_limit() {
        let day = 86_400_000;
        for (text, milliseconds) in [
            ("365d", Some(365 * day)),
            ("365 days", Some(365 * day)),
            ("364d 24h", Some(365 * day)),
            ("1d 30m", Some(day + 1_800_000)),
            ("8760h", Some(365 * day)),
            ("1.5s", Some(1500)),
            ("1ms", Some(1)),
            ("366d", None),
            ("365d 1ms", None),
            ("1 month", None),
            ("1y", None),
            ("0d", None),
            ("-1d", None),
            ("1", None),
        ] {
            let parsed = text.parse().ok().map(|Timeout(time)| time);
            assert_eq!(parsed, milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
