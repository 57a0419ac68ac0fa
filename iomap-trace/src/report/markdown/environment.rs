//! Where it happened: kernel, page size, filesystems, what ran, what could be seen.

use std::fmt::Write as _;

use super::text::{code, heading, on, table};
use crate::event::{Dev, Filesystem, HookState, Mount};
use crate::report::cell;
use crate::report::dossier::{Dossier, Run};
use crate::report::timeline::date;

/// What no record tells yet.
pub(super) const NOT_RECORDED: &str = "not recorded";

/// Mounts of a run that are shown.
const MOUNTS: usize = 12;

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    heading(out, "Environment");
    let several = dossier.runs.kept.len() > 1;
    for (number, run) in dossier.runs.kept.iter().enumerate() {
        if several {
            let before = if number > 0 { "\n" } else { "" };
            let host = run.host.as_ref().filter(|_| dossier.several_hosts());
            let _ = writeln!(out, "{before}### Run {}{}\n", number + 1, on(host));
        }
        one(out, dossier, run);
    }
    if dossier.runs.left_out > 0 {
        let _ = writeln!(out, "\nand {} more runs.", dossier.runs.left_out);
    }
}

fn one(out: &mut String, dossier: &Dossier<'_>, run: &Run) {
    let start = &run.start;
    let row = |name: &str, value: String| [name.to_owned(), value];
    let hooks = |state| start.hooks.iter().filter(move |hook| hook.state == state);
    let attached: Vec<String> = hooks(HookState::Attached)
        .map(|hook| {
            let via = hook.via.as_deref().unwrap_or("?");
            code(&format!("{} ({via})", hook.hook), true)
        })
        .collect();
    let ended = match &run.end {
        Some(end) => format!(
            "{}, {} UTC",
            code(&end.why, true),
            date(start.clock, end.ts_ns)
        ),
        None => "not in order: the log has no last record".to_owned(),
    };
    let host = start.hostname.as_ref();
    let host = host.map(|name| row("host", code(name, true)));
    let rows = host.into_iter().chain([
        row("kernel", code(&start.kernel.release, true)),
        row("build", code(&start.kernel.build, true)),
        row("architecture", code(&start.kernel.arch, true)),
        row("page size", format!("{} bytes", start.page_size)),
        row("iomap-trace", code(&start.version, true)),
        row("command", code(&start.command.join(" "), true)),
        row(
            "began",
            format!("{} UTC", date(start.clock, start.clock.boot_ns)),
        ),
        row("ended", ended),
        row("boot", code(&start.boot_id, true)),
        row(
            "probes",
            format!("plan {}: {}", code(&start.plan, true), attached.join(", ")),
        ),
        row(
            "hooks without a probe",
            match hooks(HookState::Skipped).count() {
                0 => "none".to_owned(),
                skipped => format!("{skipped}: see what was not visible"),
            },
        ),
    ]);
    table(out, ["", ""], &rows.collect::<Vec<_>>());
    mounts(out, dossier, run);
}

/// The filesystems with failures first.
fn mounts(out: &mut String, dossier: &Dossier<'_>, run: &Run) {
    let failed: Vec<Dev> = dossier
        .summary
        .files
        .ranked()
        .iter()
        .filter(|(file, _)| file.host.is_none() || file.host == run.host)
        .map(|(file, _)| file.dev)
        .collect();
    let mut mounts: Vec<&Mount> = run.start.mounts.iter().collect();
    mounts.sort_by_key(|mount| !failed.contains(&mount.dev));
    let rows: Vec<[String; 7]> = mounts
        .iter()
        .take(MOUNTS)
        .map(|mount| {
            let mut filesystems = run.start.filesystems.iter();
            let filesystem = filesystems.find(|filesystem| filesystem.dev == mount.dev);
            [
                code(&mount.at, true),
                code(&mount.fs, true),
                format!(
                    "{}{}",
                    mount.dev,
                    if failed.contains(&mount.dev) {
                        " (failures)"
                    } else {
                        ""
                    }
                ),
                block_size(mount, run.start.page_size),
                code(&mount.options, true),
                filesystem.map_or_else(|| NOT_RECORDED.to_owned(), features),
                match filesystem {
                    _ if mount.fs != "btrfs" => "-".to_owned(),
                    Some(filesystem) => profiles(filesystem),
                    None => NOT_RECORDED.to_owned(),
                },
            ]
        })
        .collect();
    out.push('\n');
    table(
        out,
        [
            "mount",
            "filesystem",
            "device",
            "block size",
            "options",
            "features",
            "data profile",
        ],
        &rows,
    );
    let rest = mounts.len().saturating_sub(MOUNTS) as u64 + run.mounts_left_out;
    if rest > 0 {
        let _ = writeln!(out, "\nand {rest} more mounts.");
    }
}

/// In proportion to the page size: reports of page sizes above the block size are a kind of their own.
fn block_size(mount: &Mount, page_size: u64) -> String {
    let size = match mount.block_size {
        0 => return "not known".to_owned(),
        size => cell::size(size),
    };
    match mount.block_size.cmp(&page_size) {
        std::cmp::Ordering::Equal => format!("{size}, that of a page"),
        std::cmp::Ordering::Less => format!("{size}, **below that of a page**"),
        std::cmp::Ordering::Greater => format!("{size}, **above that of a page**"),
    }
}

/// On-disk features, and what else depends on how it was made.
fn features(filesystem: &Filesystem) -> String {
    let mut parts = vec![if filesystem.features.is_empty() {
        not_recorded(filesystem, "features")
    } else {
        code(&filesystem.features.join(" "), true)
    }];
    if let Some(size) = filesystem.sector_size {
        parts.push(format!("sectors of {}", cell::size(size.into())));
    }
    if let Some(size) = filesystem.node_size {
        parts.push(format!("nodes of {}", cell::size(size.into())));
    }
    if let Some(checksum) = &filesystem.checksum {
        parts.push(format!("checksum {}", code(checksum, true)));
    }
    if let Some(mode) = &filesystem.data_mode {
        parts.push(code(&format!("data={mode}"), true));
    } else if filesystem.missing.contains_key("data_mode") {
        parts.push(format!(
            "data mode {}",
            not_recorded(filesystem, "data_mode")
        ));
    }
    parts.join("; ")
}

fn profiles(filesystem: &Filesystem) -> String {
    if filesystem.data_profiles.is_empty() {
        return not_recorded(filesystem, "data_profiles");
    }
    let data = code(&filesystem.data_profiles.join(", "), true);
    if filesystem.metadata_profiles.is_empty() {
        return data;
    }
    let metadata = code(&filesystem.metadata_profiles.join(", "), true);
    format!("{data} (metadata {metadata})")
}

fn not_recorded(filesystem: &Filesystem, field: &str) -> String {
    match filesystem.missing.get(field) {
        Some(why) => format!("{NOT_RECORDED}: {}", code(why, true)),
        None => NOT_RECORDED.to_owned(),
    }
}
