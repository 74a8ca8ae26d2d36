//! The sink of an object in an object store: sends it in parts while rows arrive, and
//! completes the upload at the commit, so that readers see the whole object or none.

mod url;

#[cfg(feature = "object-store")]
mod errors;
#[cfg(feature = "object-store")]
mod profile;
#[cfg(feature = "object-store")]
mod read;
#[cfg(feature = "object-store")]
mod runtime;
#[cfg(feature = "object-store")]
mod store;
#[cfg(feature = "object-store")]
mod upload;
#[cfg(feature = "object-store")]
mod writer;

#[cfg(not(feature = "object-store"))]
mod absent;

#[cfg(not(feature = "object-store"))]
pub use absent::Source;
#[cfg(not(feature = "object-store"))]
pub(super) use absent::{create, list, read, remove, size, source, stage};
#[cfg(feature = "object-store")]
pub use read::Source;
#[cfg(feature = "object-store")]
pub(super) use read::{list, read, remove, size, source};
pub use url::{check_url, is_object};
#[cfg(feature = "object-store")]
pub(super) use writer::{create, stage};
