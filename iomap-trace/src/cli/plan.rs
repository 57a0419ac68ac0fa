//! What a live run is to do.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use super::common::Common;
use crate::report::Format;
use crate::report::audit::FailOn;

/// Where rows and the summary go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    Stdout,
    Stderr,
}

/// Where the event log goes.
#[derive(Debug)]
pub enum LogTo {
    /// A file to create.
    Path(PathBuf),
    /// An empty file that is open, compressed.
    File(File),
}

/// A live run.
#[derive(Debug)]
pub struct Plan {
    pub common: Common,
    pub format: Format,
    pub rows: Rows,
    pub summary: Rows,
    pub log: Option<LogTo>,
    /// Command of `exec` or `audit`; empty otherwise.
    pub command: Vec<OsString>,
    /// Failures that make a command fail which did not fail itself.
    pub fail_on: FailOn,
}
