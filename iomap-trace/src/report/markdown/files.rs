//! Which files, and what they are like.

use std::fmt::Write as _;

use super::environment::NOT_RECORDED;
use super::text::{code, on, table};
use crate::event::{FileRecord, Mount};
use crate::report::cell;
use crate::report::dossier::{Dossier, Run, TOP};
use crate::report::tally::{Entry, FileId};

pub(super) fn files(out: &mut String, dossier: &Dossier<'_>) {
    let ranked = dossier.summary.files.ranked();
    let rows: Vec<[String; 9]> = ranked
        .iter()
        .take(TOP)
        .map(|(file, entry)| {
            let (checksums, compression) = data(dossier, file);
            [
                name(file, entry),
                file.dev.to_string(),
                file.ino.to_string(),
                file.root
                    .map_or_else(|| "-".to_owned(), |root| root.to_string()),
                entry.counts.pre.to_string(),
                entry.counts.map.to_string(),
                entry.counts.post.to_string(),
                checksums,
                compression,
            ]
        })
        .collect();
    table(
        out,
        [
            "file",
            "device",
            "inode",
            "subvolume",
            "pre",
            "map",
            "post",
            "checksums, nocow",
            "compression",
        ],
        &rows,
    );
}

/// Attributes of the same files, where any were recorded.
pub(super) fn attributes(out: &mut String, dossier: &Dossier<'_>) {
    let ranked = dossier.summary.files.ranked();
    let described = ranked
        .iter()
        .take(TOP)
        .filter_map(|(file, entry)| Some((file, entry, dossier.file(file)?)));
    let rows: Vec<[String; 6]> = described
        .map(|(file, entry, record)| {
            let size = |size: Option<u64>| match size {
                Some(size) => cell::size(size),
                None => not_recorded(record),
            };
            let flags = match &record.flags {
                Some(flags) if flags.is_empty() => "none".to_owned(),
                Some(flags) => code(&flags.join(" "), true),
                None => not_recorded(record),
            };
            let hint = record.extent_size.map(u64::from).map(cell::size);
            [
                name(file, entry),
                file.ino.to_string(),
                size(record.size),
                size(record.allocated),
                flags,
                hint.unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    out.push('\n');
    let head = [
        "file",
        "inode",
        "size",
        "allocated",
        "inode flags",
        "extent size hint",
    ];
    table(out, head, &rows);
    out.push_str("\nAs they were when the file was first named.\n");
    if dossier.checksums.cow > 0 {
        out.push_str(
            "A file of btrfs that was made under `nodatasum` has no checksums, and flags do not tell: \
             it is among those with checksums here.\n",
        );
    }
}

fn name(file: &FileId, entry: &Entry) -> String {
    let path = entry.path.as_deref();
    let name = path.map_or_else(
        || "(path not known)".to_owned(),
        |path| code(path, !entry.path_escaped),
    );
    format!("{name}{}", on(file.host.as_ref()))
}

fn not_recorded(record: &FileRecord) -> String {
    match &record.missing {
        Some(why) => format!("{NOT_RECORDED}: {}", code(why, true)),
        None => NOT_RECORDED.to_owned(),
    }
}

/// Checksums and compression of a file, as far as its flags and the mount options tell.
fn data(dossier: &Dossier<'_>, file: &FileId) -> (String, String) {
    let record = dossier.file(file);
    let Some(mount) = mount(dossier, file) else {
        return (NOT_RECORDED.to_owned(), NOT_RECORDED.to_owned());
    };
    if mount.fs != "btrfs" {
        return ("-".to_owned(), "-".to_owned());
    }
    let sums = option(mount, &["nodatacow", "nodatasum"]);
    let compress = option(mount, &["compress", "compress-force"]);
    let Some((record, flags)) = record.and_then(|r| Some((r, r.flags.as_ref()?))) else {
        let unknown = record.map_or_else(|| NOT_RECORDED.to_owned(), not_recorded);
        return (
            sums.unwrap_or_else(|| unknown.clone()),
            compress.unwrap_or(unknown),
        );
    };
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    let checksums = match sums {
        _ if has("nocow") => "nocow, no checksums".to_owned(),
        Some(mounted) => format!("copy on write; checksums not known: {mounted}"),
        None => "checksums, copy on write".to_owned(),
    };
    let compression = match (&record.compression, compress) {
        _ if has("nocow") => "none: nocow".to_owned(),
        (Some(property), _) => format!("property {}", code(property, true)),
        _ if has("nocompress") => "none: `nocompress`".to_owned(),
        _ if has("compressed") => "yes: `compressed`".to_owned(),
        (None, Some(mounted)) => mounted,
        (None, None) => "none".to_owned(),
    };
    (checksums, compression)
}

fn mount<'a>(dossier: &'a Dossier<'_>, file: &FileId) -> Option<&'a Mount> {
    let here = |run: &&Run| file.host.is_none() || run.host == file.host;
    let runs = dossier.runs.kept.iter().filter(here);
    let mut mounts = runs.flat_map(|run| &run.start.mounts);
    mounts.find(|mount| mount.dev == file.dev)
}

fn option(mount: &Mount, wanted: &[&str]) -> Option<String> {
    let mut options = mount.options.split(',');
    let found = options.find(|option| {
        let name = option.split('=').next().unwrap_or_default();
        wanted.contains(&name)
    })?;
    Some(format!("mounted with {}", code(found, true)))
}

/// What the checksums of these files mean for the kernel's change about them.
pub(super) fn checksums(out: &mut String, dossier: &Dossier<'_>) {
    const CHANGE: &str = "commit 968f19c5b1b7";
    let sums = dossier.checksums;
    let these = |n: u64| match n {
        1 => "one of the files is".to_owned(),
        n => format!("{n} of the files are"),
    };
    if sums.nocow > 0 && sums.cow == 0 && sums.unknown == 0 {
        let _ = match sums.fallback {
            Some(true) => write!(
                out,
                "The btrfs files here are nocow, without checksums: only such files are still written \
                 direct by this kernel ({CHANGE}). "
            ),
            _ => write!(
                out,
                "The btrfs files here are nocow, without checksums: a kernel that writes files with \
                 checksums buffered ({CHANGE}) changes nothing for them. "
            ),
        };
    } else if sums.cow > 0 {
        let cow = these(sums.cow);
        let _ = match sums.fallback {
            Some(true) => write!(
                out,
                "On btrfs {cow} not nocow, and yet written direct by a kernel that writes files with \
                 checksums buffered ({CHANGE}): made under `nodatasum`, or that kernel has not the \
                 change that its version should have. "
            ),
            Some(false) => write!(
                out,
                "On btrfs {cow} copy on write, so with checksums unless made under `nodatasum`: a \
                 kernel with {CHANGE} writes these always buffered, and they could not fail there. "
            ),
            None => write!(
                out,
                "On btrfs {cow} copy on write, so with checksums unless made under `nodatasum`: \
                 whether this kernel has {CHANGE}, which writes these always buffered, is not known. "
            ),
        };
    }
}
