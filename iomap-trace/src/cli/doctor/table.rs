//! The findings as tables and sentences, at most 80 columns wide.

use std::fmt::Write as _;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Format, Modify, Padding, Style};

use super::Findings;
use crate::event::{HookReport, HookState};
use crate::kernel::Kernel;
use crate::text::printable;

/// Width of a terminal that one may count on.
const WIDTH: usize = 80;

/// Space in front of each column.
const PAD: usize = 2;

/// All sections.
pub fn render(findings: &Findings<'_>) -> String {
    let mut out = String::new();
    section(&mut out, "Kernel", &facts(findings.kernel));
    let title = format!("Hooks (plan: {})", findings.plan);
    section(&mut out, &title, &hooks(&findings.hooks));
    section(&mut out, "Mounts", &mounts(findings.kernel));
    section(&mut out, "Notes", &notes(&findings.notes));
    out
}

fn section(out: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let gap = if out.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{gap}{title}\n{body}");
    }
}

/// Rows of name and value, the value wrapped.
fn facts(kernel: &Kernel) -> String {
    let info = &kernel.info;
    let mut rows = Builder::default();
    let mut row = |name: &str, value: String| rows.push_record([name.to_owned(), value]);
    let pages = kernel.page_size;
    let release = format!("{} {}, pages of {pages} bytes", info.release, info.arch);
    row("release", release);
    row("build", info.build.clone());
    row("privileges", privileges(kernel));
    row("types", types(kernel));
    row("layout", layout(kernel));
    row("symbols", symbols(kernel));
    row(
        "tracefs",
        match &kernel.tracefs {
            Ok(tracefs) => tracefs.root().display().to_string(),
            Err(why) => format!("not available, nor needed ({why})"),
        },
    );
    wrap(rows, &[14, 64])
}

fn privileges(kernel: &Kernel) -> String {
    let p = &kernel.privileges;
    let held = match &p.held()[..] {
        [] => "no capability that matters".to_owned(),
        held => held.join(" "),
    };
    let verdict = match p.check() {
        Ok(()) => "enough".to_owned(),
        Err(e) => format!("not enough: {e}"),
    };
    let lockdown = p.lockdown.as_deref().unwrap_or("none");
    format!("{verdict} ({held}; lockdown {lockdown})")
}

fn types(kernel: &Kernel) -> String {
    let types = match &kernel.types {
        Ok(types) => types,
        Err(e) => return format!("none: {e}"),
    };
    let objects = types.objects().map(|(name, n)| format!("{name} {n}"));
    let mut text = objects.collect::<Vec<_>>().join(", ");
    for (name, why) in types.unread() {
        let _ = write!(text, ", {name} unreadable ({why})");
    }
    text
}

fn layout(kernel: &Kernel) -> String {
    let found = kernel.layout.named().len();
    let all = found + kernel.layout.missing.len();
    let mut text = format!("{found} of {all} offsets found");
    // Without any type, every line would give the same reason.
    if kernel.types.is_ok() {
        let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
        for (slot, why) in &kernel.layout.missing {
            match by_reason.iter_mut().find(|(reason, _)| reason == why) {
                Some((_, slots)) => slots.push(slot),
                None => by_reason.push((why, vec![slot])),
            }
        }
        for (why, slots) in by_reason {
            let _ = write!(text, "\n{}: {why}", slots.join(" "));
        }
    }
    text
}

fn symbols(kernel: &Kernel) -> String {
    match kernel.symbols() {
        Ok(symbols) => match symbols.why_no_addresses() {
            Some(why) => format!("{} names, no addresses: {why}", symbols.len()),
            None => format!("{} functions and tracepoints", symbols.len()),
        },
        Err(why) => why.to_owned(),
    }
}

fn hooks(hooks: &[HookReport]) -> String {
    if hooks.is_empty() {
        return String::new();
    }
    let mut rows = Builder::default();
    rows.push_record(["hook", "probe", "where and why"]);
    for hook in hooks {
        let probe = match (hook.state, &hook.via) {
            (HookState::Attached, Some(via)) => via.replace('+', "\n"),
            (HookState::Attached, None) => "attached".to_owned(),
            (HookState::Skipped, _) => "skipped".to_owned(),
        };
        let mut lines: Vec<String> = hook.symbol.iter().cloned().collect();
        lines.extend(hook.reason.iter().cloned());
        let rejected = hook.rejected.iter();
        lines.extend(rejected.map(|r| format!("not {}: {}", r.via, r.why)));
        rows.push_record([hook.hook.clone(), probe, lines.join("\n")]);
    }
    wrap(rows, &[17, 12, 47])
}

fn mounts(kernel: &Kernel) -> String {
    if kernel.mounts.is_empty() {
        return String::new();
    }
    let mut rows = Builder::default();
    rows.push_record(["device", "type", "block", "at"]);
    for mount in &kernel.mounts {
        let block = match mount.block_size {
            0 => "?".to_owned(),
            size => size.to_string(),
        };
        let dev = mount.dev.to_string();
        rows.push_record([dev, mount.fs.clone(), block, printable(&mount.at)]);
    }
    wrap(rows, &[12, 10, 8, 46])
}

fn notes(notes: &[String]) -> String {
    let mut rows = Builder::default();
    for note in notes {
        rows.push_record(["-", note]);
    }
    wrap(rows, &[3, 75])
}

/// A table without lines, its columns at most so wide, padding included.
fn wrap(rows: Builder, widths: &[usize]) -> String {
    debug_assert!(widths.iter().sum::<usize>() <= WIDTH - 2);
    let mut table = rows.build();
    table.with(Style::empty()).with(Padding::new(PAD, 0, 0, 0));
    for (column, width) in widths.iter().enumerate() {
        // tabled's own wrapping indents some of the lines.
        let fit = Format::content(|text| fill(text, width - PAD));
        table.with(Modify::new(Columns::one(column)).with(fit));
    }
    let text = table.to_string();
    let lines = text.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks lines between words, and inside those that are longer than a line.
fn fill(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line: Vec<char> = Vec::new();
        for word in paragraph.split_whitespace() {
            let word: Vec<char> = word.chars().collect();
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
            while line.len() > width {
                let rest = line.split_off(width);
                lines.push(std::mem::replace(&mut line, rest));
            }
        }
        lines.push(line);
    }
    let lines = lines.into_iter().map(String::from_iter);
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Facts, Rejected};
    use crate::kernel::Roots;

    fn hook(name: &str, state: HookState) -> HookReport {
        HookReport {
            hook: name.to_owned(),
            state,
            via: (state == HookState::Attached).then(|| "raw_tp".to_owned()),
            symbol: Some("iomap_dio_invalidate_fail iomap_dio_rw_begin iomap_dio_complete".into()),
            reason: Some("a reason that is long enough to need a second line in any case".into()),
            rejected: vec![Rejected {
                via: "fexit".to_owned(),
                why: "Operation not permitted".to_owned(),
            }],
        }
    }

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(fill("one two  three\nfour", 8), "one two\nthree\nfour");
        assert_eq!(fill("x abcdefghij k", 4), "x\nabcd\nefgh\nij k");
        assert_eq!(fill("", 4), "");
    }

    #[test]
    fn everything_fits_80_columns() {
        // Nothing can be read below an empty directory: the reasons are the longest lines.
        let dir = tempfile::tempdir().unwrap();
        let nothing = Roots {
            btf: dir.path().join("btf"),
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
        };
        for roots in [nothing, Roots::default()] {
            let kernel = Kernel::probe(&roots);
            let findings = Findings {
                programs: Vec::new(),
                plan: "tracepoint".to_owned(),
                hooks: vec![
                    hook("invalidate", HookState::Attached),
                    hook("writeback-error", HookState::Skipped),
                ],
                notes: kernel.notes(),
                kernel: &kernel,
            };
            let text = render(&findings);
            for line in text.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
            for word in ["privileges", "writeback-error", "not fexit", "Notes"] {
                assert!(text.contains(word), "{word} is not in\n{text}");
            }
            let json = super::super::json::render(&findings).unwrap();
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json["hooks"][0]["via"], "raw_tp");
            assert_eq!(json["btf"]["available"], kernel.types.is_ok());
            if kernel.types.is_err() {
                assert_eq!(kernel.facts, Facts::default());
                assert!(kernel.layout.named().is_empty());
            }
        }
    }
}
