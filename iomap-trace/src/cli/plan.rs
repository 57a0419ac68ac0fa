//! What a live run is to do.

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use super::common::Common;
use super::upkeep::Upkeep;
use crate::log::{Owner, Rotation};
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
    /// A file to create, perhaps in parts, perhaps for somebody else.
    Kept {
        path: PathBuf,
        rotation: Rotation,
        owner: Option<Owner>,
    },
    /// An empty file that is open, compressed.
    File(File),
}

/// What a live run is to the process it happens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All there is to do: it gives up what it does not need.
    Command,
    /// The same, perhaps for months: it heeds a service manager, and SIGHUP opens the log anew.
    Service,
    /// Something follows that needs the rights of the whole.
    Step,
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
    pub role: Role,
    pub upkeep: Upkeep,
}
