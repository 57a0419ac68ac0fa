//! What files with failures are like, and what follows for btrfs' checksums.

use serde::Serialize;
use std::collections::HashMap;

use super::fixes::{CHECKSUM_FALLBACK, Fix, Fixed};
use super::runs::Runs;
use crate::event::{Dev, FileRecord, Start};
use crate::report::summary::Summary;
use crate::report::tally::FileId;

/// Files whose records are kept.
const MOST: usize = 4096;

/// Records of files, by boot of a machine.
#[derive(Clone, Debug, Default)]
pub struct Files {
    boots: Vec<String>,
    /// Index of the present boot.
    present: usize,
    known: HashMap<(usize, Dev, Option<u64>, u64), FileRecord>,
}

impl Files {
    /// A run begins.
    pub(super) fn start(&mut self, start: &Start) {
        let known = self.boots.iter().position(|boot| *boot == start.boot_id);
        self.present = known.unwrap_or_else(|| {
            self.boots.push(start.boot_id.clone());
            self.boots.len() - 1
        });
    }

    /// A file was described, or once more.
    pub(super) fn add(&mut self, record: &FileRecord) {
        let key = (self.present, record.dev, record.root, record.ino);
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            return;
        }
        let known = self.known.entry(key).or_insert_with(|| record.clone());
        // A file that is gone has the attributes it had.
        if record.flags.is_some() || known.flags.is_none() {
            known.clone_from(record);
        }
    }

    /// The last record of a file of the boot `boot`, or, where that is not told apart, of any.
    pub fn of(&self, boot: Option<&str>, file: &FileId) -> Option<&FileRecord> {
        let boots = self.boots.iter().enumerate().rev();
        let mut fitting = boots.filter(|(_, id)| boot.is_none_or(|boot| boot == **id));
        fitting.find_map(|(at, _)| self.known.get(&(at, file.dev, file.root, file.ino)))
    }
}

/// btrfs' files with failures, by what their flags say of checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checksums {
    /// nocow: none.
    pub nocow: u64,
    /// Copy on write: with checksums, unless the file was made under `nodatasum`.
    pub cow: u64,
    /// Not known.
    pub unknown: u64,
    /// Whether the kernels write files with checksums buffered; absent where that is not known of
    /// all, or differs.
    pub fallback: Option<bool>,
}

/// The record of a file that a summary names.
pub(super) fn record<'a>(
    files: &'a Files,
    summary: &Summary,
    file: &FileId,
) -> Option<&'a FileRecord> {
    let host = file.host.as_ref().and_then(|name| {
        let mut hosts = summary.hosts.iter();
        hosts.find(|host| host.host == *name)
    });
    files.of(host.map(|host| host.boot_id.as_str()), file)
}

/// What the flags say of the files that the summary names.
pub(super) fn checksums(files: &Files, runs: &Runs, summary: &Summary, fixes: &[Fix]) -> Checksums {
    let mut checksums = Checksums {
        fallback: fallback(fixes),
        ..Checksums::default()
    };
    let mut mounts = runs.kept.iter().flat_map(|run| &run.start.mounts);
    let btrfs: Vec<Dev> = mounts
        .by_ref()
        .filter(|mount| mount.fs == "btrfs")
        .map(|mount| mount.dev)
        .collect();
    for (file, _) in summary.files.ranked() {
        if !btrfs.contains(&file.dev) {
            continue;
        }
        let flags = record(files, summary, file).and_then(|record| record.flags.as_ref());
        match flags {
            None => checksums.unknown += 1,
            Some(flags) if flags.iter().any(|flag| flag == "nocow") => checksums.nocow += 1,
            Some(_) => checksums.cow += 1,
        }
    }
    checksums
}

fn fallback(fixes: &[Fix]) -> Option<bool> {
    let fix = fixes
        .iter()
        .find(|fix| fix.commit == Some(CHECKSUM_FALLBACK))?;
    let known = fix.kernels.iter().map(|(_, state, _)| match state {
        Fixed::Yes => Some(true),
        Fixed::No => Some(false),
        Fixed::NotNeeded | Fixed::Unknown => None,
    });
    let known: Vec<Option<bool>> = known.collect();
    let first = *known.first()?;
    known.iter().all(|state| *state == first).then_some(first)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ino: u64, flags: Option<&[&str]>) -> FileRecord {
        FileRecord {
            ino,
            flags: flags.map(|flags| flags.iter().map(|f| (*f).into()).collect()),
            ..FileRecord::default()
        }
    }

    fn id(ino: u64) -> FileId {
        FileId {
            dev: Dev::default(),
            root: None,
            ino,
            host: None,
        }
    }

    #[test]
    fn the_last_record_with_flags_counts_and_boots_are_kept_apart() {
        let mut files = Files {
            boots: vec!["a".into()],
            ..Files::default()
        };
        files.add(&file(1, None));
        files.add(&file(1, Some(&["nocow"])));
        files.add(&file(1, None));
        assert!(files.of(None, &id(1)).unwrap().flags.is_some());
        files.boots.push("b".into());
        files.present = 1;
        files.add(&file(1, Some(&[])));
        let flags = |boot| {
            files
                .of(boot, &id(1))
                .unwrap()
                .flags
                .as_ref()
                .unwrap()
                .len()
        };
        assert_eq!((flags(Some("a")), flags(Some("b")), flags(None)), (1, 0, 0));
        assert!(files.of(Some("c"), &id(1)).is_none());
        for ino in 0..2 * MOST as u64 {
            files.add(&file(ino, None));
        }
        assert_eq!(files.known.len(), MOST);
    }
}
