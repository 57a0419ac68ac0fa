//! What a run gave: one JSON object, or the same for people.

use std::fmt;

use serde::Serialize;

use super::check::{DataCheck, Writer};
use super::fsync::FsyncCounts;
use super::identity::FileInfo;
use super::options::{Mode, Range};
use super::tally::Tally;
use crate::text::printable;

/// Everything there is to know about a run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Which writers were run.
    pub mode: Mode,
    /// Seed of their choices.
    pub seed: u64,
    /// How long the threads ran, in seconds.
    pub seconds: f64,
    /// A signal ended the run early.
    pub interrupted: bool,
    /// The two kinds of writers kept to different halves.
    pub control: bool,
    /// The file.
    pub file: FileInfo,
    /// The working range.
    pub range: Range,
    /// Bytes per buffered write.
    pub dirty_block: u64,
    /// Process id.
    pub pid: u32,
    /// What each thread did.
    pub threads: Vec<Tally>,
    /// What fsync reported.
    pub fsync: FsyncCounts,
    /// Whether page cache and disk agree.
    pub data: DataCheck,
    /// The file was left behind.
    #[serde(skip)]
    pub kept: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let control = if self.control { ", control" } else { "" };
        let early = if self.interrupted {
            " (interrupted)"
        } else {
            ""
        };
        writeln!(
            f,
            "repro {}{control} on {}, {:.1} s{early}, seed {}, pid {}",
            self.mode.name(),
            self.file.fs,
            self.seconds,
            self.seed,
            self.pid
        )?;
        let kept = if self.kept { "kept" } else { "removed" };
        writeln!(f, "file {}", printable(&self.file.path))?;
        writeln!(
            f,
            "     device {}, inode {}, {kept}",
            self.file.dev, self.file.ino
        )?;
        write!(
            f,
            "     {} bytes at {}, blocks of {}",
            self.range.len, self.range.pos, self.range.block
        )?;
        if self.dirty_block != self.range.block {
            write!(f, ", buffered {}", self.dirty_block)?;
        }
        writeln!(f)?;
        writeln!(f)?;
        writeln!(
            f,
            "{:>8}  {:<15} {:>11} {:>15} {:>6}  ERRORS",
            "TID", "ROLE", "OPERATIONS", "BYTES", "SHORT"
        )?;
        for thread in &self.threads {
            thread_row(f, thread)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "fsync: {} {}, {} returned EIO",
            self.fsync.calls,
            plural(self.fsync.calls, "call", "calls"),
            self.fsync.eio
        )?;
        data_rows(f, &self.data)
    }
}

fn thread_row(f: &mut fmt::Formatter<'_>, thread: &Tally) -> fmt::Result {
    let errors: Vec<String> = thread
        .errors
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let errors = if thread.unsupported {
        "unsupported".to_owned()
    } else if errors.is_empty() {
        "-".to_owned()
    } else {
        errors.join(", ")
    };
    writeln!(
        f,
        "{:>8}  {:<15} {:>11} {:>15} {:>6}  {errors}",
        thread.tid,
        thread.role.name(),
        thread.ops,
        thread.bytes,
        thread.short
    )
}

fn data_rows(f: &mut fmt::Formatter<'_>, data: &DataCheck) -> fmt::Result {
    writeln!(
        f,
        "data:  {} bytes compared, {} of them were cached",
        data.checked_bytes, data.cached_bytes
    )?;
    let Some(first) = data.first_difference else {
        return writeln!(f, "       page cache and disk agree");
    };
    writeln!(
        f,
        "       page cache and disk DIFFER in {} {}, first at {first}",
        data.differing_blocks,
        plural(data.differing_blocks, "block", "blocks")
    )?;
    for (what, writer) in [("cache", &data.cache_has), ("disk ", &data.disk_has)] {
        if let Some(writer) = writer {
            writeln!(f, "       {what} has {}", Shown(writer))?;
        }
    }
    Ok(())
}

struct Shown<'a>(&'a Writer);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.tid, self.0.role) {
            (Some(tid), role) => write!(f, "write {} of {role} {tid}", self.0.seq),
            (None, "initial") => f.write_str("the first contents"),
            (None, _) => f.write_str("a mixture of writes"),
        }
    }
}

fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::super::tally::Role;
    use super::*;

    fn outcome() -> Outcome {
        let mut writer = Tally::new(Role::BufferedWriter);
        (writer.tid, writer.ops, writer.bytes) = (4_194_304, 99_999_999_999, 999_999_999_999_999);
        writer.errors.insert("EIO".to_owned(), 2);
        Outcome {
            mode: Mode::Aio,
            seed: 7,
            seconds: 4.001,
            interrupted: false,
            control: true,
            file: FileInfo {
                path: "/mnt/a\nb".to_owned(),
                path_escaped: false,
                dev: "7:0".to_owned(),
                ino: 12,
                fs: "xfs".to_owned(),
                size: 1 << 33,
            },
            range: Range {
                pos: 1 << 32,
                len: 1 << 23,
                block: 1 << 14,
            },
            dirty_block: 1 << 12,
            pid: 42,
            threads: vec![writer],
            fsync: FsyncCounts {
                calls: 3,
                eio: 1,
                eio_windows_ns: vec![[1, 2]],
            },
            data: DataCheck {
                checked_bytes: 1 << 23,
                cached_bytes: 1 << 22,
                differing_blocks: 1,
                first_difference: Some((1 << 32) + 512),
                cache_has: Some(Writer {
                    tid: None,
                    role: "initial",
                    seq: 0,
                }),
                disk_has: Some(Writer {
                    tid: Some(4_194_304),
                    role: "aio-writer",
                    seq: 5,
                }),
                agree: false,
            },
            kept: false,
        }
    }

    #[test]
    fn text_fits_80_columns_and_shows_control_characters_escaped() {
        let text = outcome().to_string();
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        assert!(text.contains("/mnt/a\\nb"), "{text}");
        assert!(
            text.contains("DIFFER in 1 block, first at 4294967808"),
            "{text}"
        );
        assert!(
            text.contains("disk  has write 5 of aio-writer 4194304"),
            "{text}"
        );
        assert!(text.contains("3 calls, 1 returned EIO"), "{text}");
    }

    #[test]
    fn json_is_one_line_with_the_documented_fields() {
        let text = serde_json::to_string(&outcome()).unwrap();
        assert!(!text.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["mode"], "aio");
        assert_eq!(json["file"]["path"], "/mnt/a\nb");
        assert_eq!(json["threads"][0]["role"], "buffered-writer");
        assert_eq!(json["threads"][0]["errors"]["EIO"], 2);
        assert_eq!(json["fsync"]["eio"], 1);
        assert_eq!(json["data"]["first_difference"], (1u64 << 32) + 512);
        assert_eq!(json["data"]["agree"], false);
        assert_eq!(json["control"], true);
    }
}
