//! The hosts side by side, where a report has several.

use super::text::{code, heading, table};
use crate::report::cell;
use crate::report::dossier::Dossier;
use crate::report::hosts::Host;

pub(super) fn section(out: &mut String, dossier: &Dossier<'_>) {
    if !dossier.several_hosts() {
        return;
    }
    heading(out, "Hosts");
    let rows: Vec<[String; 10]> = dossier.summary.hosts.iter().map(row).collect();
    let head = [
        "host",
        "kernel",
        "recorded",
        "direct writes",
        "pre",
        "map",
        "post",
        "causes",
        "kernel printed",
        "records lost",
    ];
    table(out, head, &rows);
    out.push_str(
        "\nA host is one boot of a machine, called after the first of its logs. Process, inode and \
         failure numbers of different hosts have nothing to do with each other.\n",
    );
}

fn row(host: &Host) -> [String; 10] {
    let mut causes: Vec<_> = host.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let causes: Vec<String> = causes
        .iter()
        .map(|(cause, count)| format!("{} {count}", cause.name()))
        .collect();
    let printed = host.kernel_printed.map(|lines| lines.to_string());
    // A run without its last record may have lost more.
    let more = if host.unended > 0 { " or more" } else { "" };
    [
        code(&host.host, true),
        code(&host.kernel, true),
        cell::duration(host.duration_ns),
        host.direct_writes.to_string(),
        host.failures.pre.to_string(),
        host.failures.map.to_string(),
        host.failures.post.to_string(),
        match causes.is_empty() {
            true => "-".to_owned(),
            false => causes.join(", "),
        },
        printed.unwrap_or_else(|| "not known".to_owned()),
        format!("{}{more}", host.losses.total),
    ]
}
