//! What a column writes through.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::record::Record;
use crate::reference::Policy;
use crate::reference::direct::DirectFile;

/// A column of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The kernel's own path: `pwrite(2)` on a descriptor with O_DIRECT.
    Kernel,
    /// The reference in user space.
    Policy(Policy),
}

impl Column {
    /// All of them, the kernel first.
    pub fn all() -> Vec<Self> {
        let policies = Policy::ALL.into_iter().map(Self::Policy);
        std::iter::once(Self::Kernel).chain(policies).collect()
    }

    /// Name, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Policy(policy) => policy.name(),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Column {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        let found = all.iter().find(|column| column.name() == name).copied();
        found.ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|column| column.name()).collect();
            format!("`{name}` is none of {}", names.join(", "))
        })
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

/// The file as a direct writer of a column has it open.
#[derive(Debug)]
pub(super) enum Target {
    /// With O_DIRECT.
    Kernel(File),
    /// By a policy.
    Policy(Box<DirectFile>),
}

impl Target {
    /// Opens the file at `path` for a policy.
    pub(super) fn policy(path: &Path, policy: Policy) -> Result<Self> {
        Ok(Self::Policy(Box::new(DirectFile::open(path, policy)?)))
    }

    /// Writes, and notes in `record` what came of it.
    pub(super) fn write(&self, buf: &[u8], pos: u64, record: &mut Record) {
        match self {
            Self::Kernel(file) => record.result = returned(file.write_at(buf, pos)),
            Self::Policy(file) => {
                let outcome = file.write_at(buf, pos);
                record.result = match outcome.result {
                    Ok(bytes) => bytes as i64,
                    Err(errno) => errno.raw().into(),
                };
                record.route = Some(outcome.route);
                record.left = outcome.pre.cached();
                record.stale = outcome.stale_pages;
            }
        }
    }
}

/// As a system call returns it: bytes, or a negative errno.
pub(super) fn returned(result: std::io::Result<usize>) -> i64 {
    match result {
        Ok(bytes) => bytes as i64,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_columns() {
        for column in Column::all() {
            assert_eq!(column.name().parse(), Ok(column));
            let json = serde_json::to_string(&column).unwrap();
            assert_eq!(serde_json::from_str::<Column>(&json).unwrap(), column);
        }
        let error = "x".parse::<Column>().unwrap_err();
        assert!(
            error.starts_with("`x` is none of kernel, generic"),
            "{error}"
        );
    }
}
