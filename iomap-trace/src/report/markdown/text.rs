//! Text that cannot become markup.

use std::fmt::Write as _;

use crate::event::Text;
use crate::report::cell;

/// Columns of a text from the log: enough for a path.
const LONGEST: usize = 1024;

/// Text from the log as a code span that can stand in a table: what would end either becomes an
/// escape. `backslashes`: `\` becomes `\\`; not for text that is escaped already.
pub(super) fn code(text: &str, backslashes: bool) -> String {
    let clean = cell::fit_end(&cell::clean(text, backslashes), LONGEST);
    if clean.trim().is_empty() {
        return "-".to_owned();
    }
    let clean = clean.replace('`', "\\u{60}").replace('|', "\\u{7c}");
    format!("`{clean}`")
}

/// A command name and a process id.
pub(super) fn task(comm: &str, pid: u32) -> String {
    code(&cell::task(comm, pid, 80), false)
}

/// ` on ` a host, where there are several.
pub(super) fn on(host: Option<&Text>) -> String {
    host.map_or_else(String::new, |host| format!(" on {}", code(host, true)))
}

/// A code block around lines without control characters; its fence is longer than any in them.
pub(super) fn block(out: &mut String, lines: &str) {
    let mut longest = 2;
    let mut run = 0;
    for c in lines.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{fence}text\n{}\n{fence}", lines.trim_end());
}

/// A heading of the second level.
pub(super) fn heading(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n## {title}\n");
}

/// A table. Its cells are Markdown already.
pub(super) fn table<const N: usize>(out: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
}

/// `1 file`, `2 files`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_stays_text() {
        assert_eq!(
            code("a|b`c`<b>\n# x", true),
            "`a\\u{7c}b\\u{60}c\\u{60}<b>\\n# x`"
        );
        assert_eq!(code(" \u{202e}", true), "` \\u{202e}`");
        assert_eq!(code("  ", true), "-");
        let mut out = String::new();
        block(&mut out, "````\n# x\n");
        assert_eq!(out, "`````text\n````\n# x\n`````\n");
    }

    proptest! {
        #[test]
        fn a_code_span_has_no_way_out(text: String) {
            let span = code(&text, true);
            let inner = span.trim_start_matches('`').trim_end_matches('`');
            prop_assert!(!inner.contains(['`', '|', '\n', '\r']));
        }
    }
}
