//! Ends panics of other crates within a call, without output on standard error.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// Whether this thread is within [`catch_panic`].
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// A panic that has ended: its message, if it had one.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "xlsx"),
    expect(dead_code, reason = "the driver's messages are logged only")
)]
pub(crate) struct Panic(pub Option<String>);

/// Runs `work` and catches its panic. After a panic, the caller must not use
/// anything that `work` can have changed.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    let before = IS_CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    result.map_err(|payload: Box<dyn Any + Send>| {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        Panic(text.or_else(|| payload.downcast_ref::<String>().cloned()))
    })
}

/// Installs a process-wide panic hook that logs caught panics of other crates, such as
/// the driver's, at debug level and passes all other panics to the hook that was there
/// before.
///
/// Without it, caught panics appear on standard error like all others. Further
/// calls do nothing.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_CAUGHT.get() {
                tracing::debug!("a panic was caught: {panic}");
            } else {
                previous(panic);
            }
        }));
    });
}
