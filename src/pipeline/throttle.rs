//! A limit on rows per second, which several exports share.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::RowObserver;
use crate::{cancel::CancelToken, error::Result, row::Row, sync::lock};

/// The number of times in a second at which rows are let through.
const STEPS: u64 = 20;

/// Rows per second that several exports share.
///
/// ```
/// use gold_digger::{CancelToken, pipeline::Throttle};
///
/// let throttle = Throttle::new(std::num::NonZeroU64::new(1000).expect("a number"));
/// let observers = [1, 2].map(|_| throttle.observer(&CancelToken::new()));
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    rows_per_second: NonZeroU64,
    /// When the next rows may come.
    next: Arc<Mutex<Option<Instant>>>,
}

impl Throttle {
    /// Creates a limit of so many rows per second.
    #[must_use]
    pub fn new(rows_per_second: NonZeroU64) -> Self {
        Self {
            rows_per_second,
            next: Arc::default(),
        }
    }

    /// Returns an observer that holds the rows of an export up. `cancel` ends its pauses.
    #[must_use]
    pub fn observer(&self, cancel: &CancelToken) -> ThrottleObserver {
        let step = (self.rows_per_second.get() / STEPS).max(1);
        ThrottleObserver {
            throttle: self.clone(),
            cancel: cancel.clone(),
            step,
            rows: 0,
        }
    }

    /// Returns how long to wait before the next `rows`.
    fn pause(&self, rows: u64) -> Duration {
        let took = Duration::from_secs_f64(rows as f64 / self.rows_per_second.get() as f64);
        let mut next = lock(&self.next);
        let now = Instant::now();
        let at = next.unwrap_or(now).max(now);
        *next = Some(at + took);
        at.saturating_duration_since(now)
    }
}

/// Holds rows up, see [`Throttle::observer`].
pub struct ThrottleObserver {
    throttle: Throttle,
    cancel: CancelToken,
    /// The rows that are let through together.
    step: u64,
    /// The rows that are still let through.
    rows: u64,
}

impl RowObserver for ThrottleObserver {
    fn row(&mut self, _row: Row<'_>, _number: u64) -> Result<()> {
        if self.rows == 0 {
            self.cancel.wait(self.throttle.pause(self.step))?;
            self.rows = self.step;
        }
        self.rows -= 1;
        Ok(())
    }
}
