//! Where it happened: kernel, page size, filesystems, what ran, what could be seen.

use std::fmt::Write as _;

use super::text::{code, heading, on, table};
use crate::event::{Dev, HookState, Mount};
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
    let rows = [
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
    ];
    table(out, ["", ""], &rows);
    mounts(out, dossier, run);
}

/// The filesystems with failures first.
fn mounts(out: &mut String, dossier: &Dossier<'_>, run: &Run) {
    let failed: Vec<Dev> = dossier
        .summary
        .files
        .ranked()
        .iter()
        .map(|(file, _)| file.dev)
        .collect();
    let mut mounts: Vec<&Mount> = run.start.mounts.iter().collect();
    mounts.sort_by_key(|mount| !failed.contains(&mount.dev));
    let rows: Vec<[String; 7]> = mounts
        .iter()
        .take(MOUNTS)
        .map(|mount| {
            let btrfs = mount.fs == "btrfs";
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
                NOT_RECORDED.to_owned(),
                if btrfs { NOT_RECORDED } else { "-" }.to_owned(),
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

/// Checksums and compression of a file on `dev`, as far as the mount options tell.
pub(super) fn data(dossier: &Dossier<'_>, dev: Dev) -> (String, String) {
    let mut mounts = dossier.runs.kept.iter().flat_map(|run| &run.start.mounts);
    let Some(mount) = mounts.find(|mount| mount.dev == dev) else {
        return (NOT_RECORDED.to_owned(), NOT_RECORDED.to_owned());
    };
    if mount.fs != "btrfs" {
        return ("-".to_owned(), "-".to_owned());
    }
    let option = |wanted: &[&str]| {
        let mut options = mount.options.split(',');
        let found = options.find(|option| {
            let name = option.split('=').next().unwrap_or_default();
            wanted.contains(&name)
        });
        found.map_or_else(
            || NOT_RECORDED.to_owned(),
            |option| format!("mounted with {}", code(option, true)),
        )
    };
    (
        option(&["nodatacow", "nodatasum"]),
        option(&["compress", "compress-force"]),
    )
}
