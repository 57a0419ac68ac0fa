//! What the comparison means, in sentences.

use super::compare::buffered;
use crate::kernel::system;
use crate::reference::Policy;
use crate::reference::compare::{
    ColumnReport, Comparison, Content, Finding, OpId, Role, Traced, Violation,
};

/// Since this release iomap turns any error of the invalidation into ENOTBLK.
const ENOTBLK_SINCE: (u32, u32, u32) = (5, 9, 0);

/// What was compared, where.
pub(super) fn title(comparison: &Comparison) -> String {
    let Comparison {
        release, fs, seed, ..
    } = comparison;
    let of = |role: &Role| comparison.threads.iter().filter(|r| *r == role).count();
    let roles = Role::ALL.iter().filter(|role| of(role) > 0);
    let threads: Vec<_> = roles
        .map(|role| plural(of(role) as u64, role.name()))
        .collect();
    let cow = if comparison.cow {
        " with checksums"
    } else {
        ""
    };
    let serial = if comparison.serial { ", in turns" } else { "" };
    let early = if comparison.interrupted {
        ", interrupted"
    } else {
        ""
    };
    format!(
        "{fs}{cow} on {release}: {}{serial}, {} KiB, seed {seed}{early}",
        threads.join(", "),
        comparison.file_size / 1024
    )
}

/// Everything there is to say, a paragraph each.
pub(super) fn paragraphs(comparison: &Comparison) -> Vec<String> {
    let mut all = Vec::new();
    for column in &comparison.columns {
        if let Some(traced) = &column.traced {
            all.push(behaviour(comparison, column, traced));
            all.extend(failures(traced));
        }
        all.extend(
            column
                .notes
                .iter()
                .map(|n| format!("{}: {n}.", column.column)),
        );
    }
    all.push(data(comparison));
    if comparison
        .columns
        .iter()
        .any(|c| c.direct.pre.is_some_and(|pre| pre > 0))
    {
        all.push(
            "A policy in user space meets more pages than the kernel: nothing keeps other writers \
             and readers out while it flushes, drops and looks, and a page that is mapped cannot \
             be dropped at all."
                .to_owned(),
        );
    }
    all
}

fn behaviour(comparison: &Comparison, column: &ColumnReport, traced: &Traced) -> String {
    let (fs, release) = (&comparison.fs, &traced.release);
    let writes = column.direct.writes;
    if traced.direct_writes == Some(0) && writes > 0 {
        let files = match (fs.as_str(), comparison.cow) {
            ("btrfs", true) => "files with checksums",
            _ => "such files",
        };
        return format!(
            "Linux {release} silently writes buffered on {files} of {fs}: of {} none reached the \
             direct path, and no invalidation was tried.",
            plural(writes, "direct write")
        );
    }
    let met = traced.pre + traced.map;
    if met == 0 {
        return format!(
            "No invalidation failed before submission on Linux {release}: what its policy is did \
             not show."
        );
    }
    if traced.behaves_as.is_empty() {
        return format!(
            "Linux {release} did not keep to one policy on {fs}: see the outcomes of its failures."
        );
    }
    let iomap = system::version(release).is_some_and(|version| version >= ENOTBLK_SINCE);
    let enotblk = Policy::Enotblk.name();
    let alike = &traced.behaves_as;
    let named = match alike.iter().any(|name| name == enotblk) && iomap {
        true => enotblk,
        false => &alike[0],
    };
    let others: Vec<_> = alike
        .iter()
        .filter(|name| *name != named)
        .map(|name| format!("`{name}`"))
        .collect();
    let others = match others.as_slice() {
        [] => String::new(),
        [one] => format!(" ({one} would have done the same)"),
        [all @ .., last] => format!(" ({} and {last} would have done the same)", all.join(", ")),
    };
    let fate = match buffered(column) {
        Some(buffered) if buffered > 0 => format!(", and {buffered} went through the page cache"),
        _ => String::new(),
    };
    format!(
        "Linux {release} behaves as `{named}` on {fs}{others}: {} met a page that could not be \
         dropped{fate}.",
        plural(met, "direct write")
    )
}

fn failures(traced: &Traced) -> Option<String> {
    let mut causes: Vec<_> = traced.causes.iter().collect();
    causes.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let all = traced.pre + traced.map + traced.post;
    if all == 0 {
        return None;
    }
    let causes: Vec<_> = causes
        .iter()
        .map(|(cause, n)| format!("{cause} {n}"))
        .collect();
    let mut text = format!(
        "Causes of {}: {}",
        plural(all, "failure"),
        causes.join(", ")
    );
    if traced.self_inflicted > 0 {
        text.push_str(&format!(
            "; {} self-inflicted, by the write's own flush",
            traced.self_inflicted
        ));
    }
    text.push('.');
    let of = |policy: Policy| {
        traced
            .outlook
            .get(policy.name())
            .copied()
            .unwrap_or_default()
    };
    if traced.pre + traced.map > 0 {
        let cached = match (of(Policy::Fallback).buffered, of(Policy::Generic).buffered) {
            (fallback, generic) if fallback == generic => {
                format!("`fallback` and `generic` written {fallback} through the page cache")
            }
            (fallback, generic) => format!(
                "`fallback` written {fallback} and `generic` {generic} through the page cache"
            ),
        };
        text.push_str(&format!(
            " With the failures before submission, `warn` would have written {} over a page that \
             stayed, {cached}, and `strict` returned {} to the caller.",
            of(Policy::Warn).stale_risk,
            plural(of(Policy::Strict).errors, "error"),
        ));
    }
    if traced.post > 0 {
        text.push_str(&format!(
            " {} failed after completion: each may leave a stale page behind, and makes the next \
             fsync return EIO.",
            plural(traced.post, "invalidation")
        ));
    }
    if traced.lost > 0 {
        text.push_str(&format!(
            " The tracer lost {}: everything may be more.",
            plural(traced.lost, "record")
        ));
    }
    Some(text)
}

fn data(comparison: &Comparison) -> String {
    let columns = &comparison.columns;
    let named = |has: &dyn Fn(&ColumnReport) -> u64| -> Vec<String> {
        let with = columns.iter().filter(|column| has(column) > 0);
        with.map(|c| format!("{} ({})", c.column, has(c))).collect()
    };
    let mut text = match named(&|c| c.data.lost.ranges) {
        none if none.is_empty() => "No acknowledged write was lost in any column".to_owned(),
        some => format!("Acknowledged writes were lost in {}", some.join(", ")),
    };
    match named(&|c| c.data.stale.ranges) {
        none if none.is_empty() => {
            text.push_str(", and the page cache agreed with the disk at the end");
        }
        some => text.push_str(&format!(
            ", and the page cache was stale at the end in {}",
            some.join(", ")
        )),
    }
    text.push('.');
    let reads = named(&|c| c.data.stale_reads.ranges);
    if !reads.is_empty() {
        text.push_str(&format!(" Old data was read in {}.", reads.join(", ")));
    }
    let beside = named(&|c| c.data.neighbour.ranges);
    if !beside.is_empty() {
        text.push_str(&format!(
            " In {} a direct write was gone beside which a mapped page was stored to meanwhile: a large \
             folio is written back as a whole.",
            beside.join(", ")
        ));
    }
    let failed: Vec<_> = columns
        .iter()
        .filter_map(|column| {
            let errors = column.direct.errors.iter().chain(&column.others.errors);
            let errors: Vec<_> = errors.map(|(name, n)| format!("{name} {n}")).collect();
            (!errors.is_empty()).then(|| format!("{} ({})", column.column, errors.join(", ")))
        })
        .collect();
    if !failed.is_empty() {
        text.push_str(&format!(
            " Reads and writes returned errors in {}: what was not acknowledged is not expected.",
            failed.join(", ")
        ));
    }
    let eio = |c: &&ColumnReport| c.direct.pre.is_some() && c.direct.errors.contains_key("EIO");
    if columns.iter().any(|column| eio(&column)) {
        text.push_str(
            " A policy's flush is told EIO also where the kernel marked a page cache that it could \
             not invalidate.",
        );
    }
    text
}

/// What did not hold, a line each.
pub(super) fn violations(comparison: &Comparison) -> Vec<String> {
    let of_columns = comparison.columns.iter().flat_map(|column| {
        let name = column.column.name();
        let all = column.violations.iter();
        all.map(move |violation| format!("{name}: {}", violation_text(comparison, violation)))
    });
    let between = comparison.disagreements.iter();
    of_columns
        .chain(between.map(|violation| violation_text(comparison, violation)))
        .collect()
}

fn violation_text(comparison: &Comparison, violation: &Violation) -> String {
    let Violation {
        broken,
        count,
        first,
        detail,
    } = violation;
    let mut text = format!("{} ({count})", broken.name());
    if let Some(first) = first {
        text.push_str(&format!(": {}", finding(comparison, first)));
    }
    if let Some(detail) = detail {
        text.push_str(&format!(": {detail}"));
    }
    text
}

fn finding(comparison: &Comparison, finding: &Finding) -> String {
    let has = content(comparison, finding.has);
    let instead = match finding.instead_of {
        Some(instead) => format!(" where there should be {}", content(comparison, instead)),
        None => String::new(),
    };
    let read = match finding.read {
        Some(read) => format!(", as {} found", op(comparison, "read", read)),
        None => String::new(),
    };
    format!(
        "{} bytes at {} hold {has}{instead}{read}",
        finding.len, finding.pos
    )
}

fn content(comparison: &Comparison, content: Content) -> String {
    match content {
        Content::Initial => "the first contents".to_owned(),
        Content::Write(id) => op(comparison, "write", id),
        Content::Torn => "parts of several writes".to_owned(),
        Content::Foreign => "nobody's write".to_owned(),
    }
}

fn op(comparison: &Comparison, what: &str, id: OpId) -> String {
    let role = comparison.threads.get(id.thread as usize);
    let role = role.map_or("thread", |role| role.name());
    let round = match id.round {
        0 => String::new(),
        round => format!(", round {round}"),
    };
    format!("{what} {} of {role} {}{round}", id.op, id.thread)
}

fn plural(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}
