//! The hosts of a report side by side.

use std::fmt::Write as _;

use super::cell;
use super::hosts::Host;
use super::summary::Summary;
use crate::correlate::Cause;

/// Columns of the names of the rows.
const NAME: usize = 16;
/// Columns of a host.
const COLUMN: usize = 12;

/// A column for all hosts and one for each, in as many tables as the width needs. Nothing where there
/// are not several hosts.
pub(super) fn hosts_text(summary: &Summary, width: usize) -> String {
    let mut text = String::new();
    if summary.hosts.len() < 2 {
        return text;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} hosts", summary.hosts.len());
    let names: Vec<_> = summary
        .hosts
        .iter()
        .map(|h| cell::clean(&h.host, true))
        .collect();
    let short = names.iter().all(|name| cell::width(name) < COLUMN);
    for (at, (name, host)) in names.iter().zip(&summary.hosts).enumerate() {
        let number = if short {
            String::new()
        } else {
            format!("{}: ", at + 1)
        };
        let kernel = cell::clean(&host.kernel, true);
        let line = format!("  {number}{name}, kernel {kernel}");
        let _ = writeln!(text, "{}", cell::fit_end(&line, width));
    }
    text.push('\n');
    let room = (width.saturating_sub(NAME + COLUMN) / COLUMN).max(1);
    for (at, hosts) in summary.hosts.chunks(room).enumerate() {
        let heads = names.iter().enumerate().skip(at * room).take(room);
        let heads = heads.map(|(n, name)| match short {
            true => name.clone(),
            false => format!("host {}", n + 1),
        });
        row(&mut text, "", "all hosts".to_owned(), heads);
        table(&mut text, summary, hosts);
    }
    text
}

fn table(text: &mut String, all: &Summary, hosts: &[Host]) {
    let time = |ns| cell::duration(ns);
    let times = hosts.iter().map(|h| time(h.duration_ns));
    row(text, "time", time(all.duration_ns), times);
    numbers(text, "direct writes", all.direct_writes, hosts, |h| {
        h.direct_writes
    });
    let all_by = all.failures;
    numbers(text, "failures: pre", all_by.pre, hosts, |h| h.failures.pre);
    numbers(text, "  map", all_by.map, hosts, |h| h.failures.map);
    numbers(text, "  post", all_by.post, hosts, |h| h.failures.post);
    let mut causes: Vec<_> = all.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (cause, count) in causes {
        let of = |host: &Host| host.causes.get(cause).copied().unwrap_or_default();
        numbers(text, Cause::name(*cause), *count, hosts, of);
    }
    numbers(text, "self-inflicted", all.self_inflicted, hosts, |h| {
        h.self_inflicted
    });
    let printed = |printed: Option<u64>| printed.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let by_host = hosts.iter().map(|h| printed(h.kernel_printed));
    row(text, "kernel printed", printed(all.kernel_printed), by_host);
    let lost = |lost: u64, unended: u64| format!("{lost}{}", if unended > 0 { "?" } else { "" });
    let by_host = hosts.iter().map(|h| lost(h.losses.total, h.unended));
    row(
        text,
        "records lost",
        lost(all.losses.total, all.unended),
        by_host,
    );
    text.push('\n');
}

fn numbers(text: &mut String, name: &str, all: u64, hosts: &[Host], of: impl Fn(&Host) -> u64) {
    let of = hosts.iter().map(|host| of(host).to_string());
    row(text, name, all.to_string(), of);
}

fn row(text: &mut String, name: &str, all: String, of: impl Iterator<Item = String>) {
    let mut line = format!("{name:<NAME$}");
    for cell in std::iter::once(all).chain(of) {
        let spaces = COLUMN.saturating_sub(cell::width(&cell));
        line.extend(std::iter::repeat_n(' ', spaces));
        line.push_str(&cell);
    }
    text.push_str(line.trim_end());
    text.push('\n');
}
