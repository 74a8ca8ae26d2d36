//! What a build without object stores answers.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    sink::{Sink, SinkOptions, Staged},
};

const PROBLEM: &str = "this build has no object stores";

fn absent<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, PROBLEM))
}

fn refused<T>() -> Result<T> {
    Err(Error::config(PROBLEM).with_hint("build it with the feature object-store"))
}

pub(in crate::sink) fn create(_: &Path, _: SinkOptions, _: &CancelToken) -> Result<Box<dyn Sink>> {
    refused()
}

pub(in crate::sink) fn stage(_: &Path, _: &[u8], _: &CancelToken) -> Result<Staged> {
    refused()
}

pub(in crate::sink) fn read(_: &Path) -> io::Result<Vec<u8>> {
    absent()
}

pub(in crate::sink) fn size(_: &Path) -> io::Result<u64> {
    absent()
}

pub(in crate::sink) fn remove(_: &Path) -> io::Result<()> {
    absent()
}

pub(in crate::sink) fn list(_: &Path) -> io::Result<Vec<PathBuf>> {
    absent()
}

/// Reads an object, of which there is none.
pub struct Source {
    /// The number of its bytes.
    pub size: u64,
}

pub(in crate::sink) fn source(_: &Path) -> io::Result<Source> {
    absent()
}

impl Read for Source {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        absent()
    }
}
