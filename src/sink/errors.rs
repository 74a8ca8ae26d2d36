//! Builds the errors of outputs: one form of message, and a hint by cause.

use std::{fmt::Display, io};

use crate::error::{Error, ErrorKind};

/// Creates an error of [`ErrorKind::Output`] with the message
/// `cannot {verb} {target}: {problem}`.
pub(super) fn output_error(target: impl Display, verb: &str, problem: impl Display) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("cannot {verb} {target}: {problem}"),
    )
}

/// Creates the same error for an I/O error, which becomes its source.
pub(super) fn io_error(target: impl Display, verb: &str, error: io::Error) -> Error {
    output_error(target, verb, &error).with_source(error)
}

/// Creates the error of a path that is not followed or opened, or of a file that is not
/// replaced. `hint` is for an error of the system; what belongs to another user has
/// its own.
pub(super) fn path_error(target: impl Display, verb: &str, error: io::Error, hint: &str) -> Error {
    let is_of_other = error.kind() == io::ErrorKind::PermissionDenied && error.get_ref().is_some();
    let hint = match is_of_other {
        true => "have it removed, or name a file in a folder of your own",
        false if error.kind() == io::ErrorKind::InvalidFilename => TOO_LONG,
        false => hint,
    };
    io_error(target, verb, error).with_hint(hint)
}

/// The hint for a file that may not be replaced.
pub(super) const READ_ONLY: &str = "it is read-only for you: make it writable, or remove it";

/// The hint for a name that the file system does not take.
const TOO_LONG: &str =
    "give the file a shorter name: others are made from it, up to 255 bytes long";

/// Creates the error of an open output that cannot be written, synced or renamed.
/// Its hint depends on the cause.
pub(super) fn write_error(target: &str, verb: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or write elsewhere"
        }
        io::ErrorKind::FileTooLarge => "ulimit -f, or the file system, allows no larger file",
        io::ErrorKind::InvalidFilename => TOO_LONG,
        io::ErrorKind::NotFound => "has its folder been removed or renamed meanwhile?",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::AlreadyExists => {
            "it has appeared meanwhile: move it away first, or put {date} and {time} into the name"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy => {
            "is it read-only, somebody else's, or a mount of its own? name a file that can be replaced"
        }
        _ => "look at the disk and its file system (dmesg), or write elsewhere",
    };
    io_error(target, verb, error).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_io_error_is_the_source_and_its_text_is_in_the_message() {
        for error in [
            io_error("a.csv", "write to", io::ErrorKind::StorageFull.into()),
            write_error("a.csv", "write to", io::ErrorKind::StorageFull.into()),
        ] {
            let source = error.source().expect("a source");
            let source = source.downcast_ref::<io::Error>().expect("an I/O error");
            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
            assert_eq!(error.message(), format!("cannot write to a.csv: {source}"));
        }
        assert!(
            output_error("a.csv", "open", "it is a directory")
                .source()
                .is_none()
        );
    }
}
