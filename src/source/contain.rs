//! Panics of the driver, which some answers that break the protocol lead to:
//! they end here, without a word on standard error.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// That the driver has panicked; its state is of no use any more.
#[derive(Debug)]
pub(super) struct Panicked;

/// What `work` gives, or that it panicked. Whoever gets the latter must not use
/// what `work` has changed.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    keep_quiet();
    let before = IS_CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    result.map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// Has contained panics told at `-vv` alone, and all others as before.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_CONTAINED.get() {
                tracing::debug!("the driver panicked: {panic}");
            } else {
                tell(panic);
            }
        }));
    });
}
