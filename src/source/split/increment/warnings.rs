//! What the user should know of an increment: rows that no increment has.

use std::time::Duration;

use super::{From, IncrementForm, IncrementOptions, IncrementStart, Lag, Search};
use crate::{
    error::Result,
    source::{split::failed, time_zone::zone_with_summer_time},
};

/// The most by which clocks go back once or twice a year.
const LONGEST_CLOCK_CHANGE: Duration = Duration::from_secs(3600);

impl Search<'_> {
    /// Returns what the user should know of the increment.
    pub(super) fn warnings(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
        from: &From,
        is_new: bool,
    ) -> Result<Vec<String>> {
        let (key, table, mut warnings) = (&self.plan.key, self.table, Vec::new());
        let names: Vec<&str> = key.columns.iter().map(|column| &*column.name).collect();
        let (first, all_names) = (names[0], names.join(", "));
        if self.plan.index.is_none() && !self.facts.is_view {
            warnings.push(format!(
                "{table} has no index that begins with {all_names}: all of it is read to find what is new"
            ));
        }
        match options.lag {
            Some(Lag::Time(lag)) => warnings.extend(self.warning_of_clocks(lag)?),
            _ if self.has_dates() => warnings.push(format!(
                "rows that are added or changed later within the same {first} as the last one, or that a transaction still holds back, are in no increment: add a lag, such as --lag 5m"
            )),
            // Other values than numbers do not grow.
            _ if self.is_number() && self.facts.is_unique(&names[..1]) => {}
            _ => warnings.push(format!(
                "rows that are added later with the same {all_names} as the last one, or a lower one, are in no increment: follow a number that grows and is unique by itself, or the time of the change, with a lag"
            )),
        }
        let has_all =
            *start == IncrementStart::Everything && options.form == IncrementForm::Condition;
        let may_be_null = self
            .facts
            .columns
            .get(first)
            .is_some_and(|found| found.is_nullable);
        if may_be_null && !has_all {
            let nulls = format!("{} IS NULL", key.leading().order(""));
            if self.finder.first(key, &nulls)?.is_some() {
                warnings.push(format!("rows whose {first} is NULL are in no increment"));
            }
        }
        if let (From::Mark(mark), false) = (from, is_new)
            && self.finder.first(key, "1 = 1")?.is_some()
            && self
                .finder
                .first(key, &key.range(Some(mark), None))?
                .is_none()
        {
            warnings.push(format!(
                "the highest {all_names} of {table} is below that of the last run: if rows were replaced, remove the export's entry from the state"
            ));
        }
        Ok(warnings)
    }

    /// Returns the warning that clocks of the session's zone may go back by more than `lag`:
    /// a DATETIME then has an hour twice.
    fn warning_of_clocks(&mut self, lag: Duration) -> Result<Option<String>> {
        if self.data_type() != "datetime" || lag > LONGEST_CLOCK_CHANGE {
            return Ok(None);
        }
        let zone = zone_with_summer_time(self.finder.conn()).map_err(failed)?;
        let Some(zone) = zone else {
            return Ok(None);
        };
        let first = &self.plan.key.columns[0].name;
        Ok(Some(format!(
            "the session's time zone is {zone}: if {first} is in UTC, say --time-zone +00:00; if it is in that zone, clocks that go back by an hour need a lag of that hour and what transactions need, such as --lag 65m"
        )))
    }
}
