//! The same page in Prometheus's own text format, for what does not know OpenMetrics.

use std::fmt::Write as _;

/// Turns OpenMetrics text, as [`super::page`] makes it, into the text format 0.0.4: a family is
/// called as its samples are, information is a gauge, there are no units and no end.
pub fn classic(page: &str) -> String {
    let mut out = String::with_capacity(page.len());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(comment) = line.strip_prefix("# ") else {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{line}");
            continue;
        };
        let Some((name, help)) = comment
            .strip_prefix("HELP ")
            .and_then(|comment| comment.split_once(' '))
        else {
            // What belongs to a family was written with its help: units and the end are left out.
            continue;
        };
        let kind = lines
            .peek()
            .and_then(|line| line.strip_prefix("# TYPE "))
            .and_then(|line| line.rsplit_once(' '))
            .map_or("untyped", |(_, kind)| kind);
        let (suffix, kind) = match kind {
            "counter" => ("_total", kind),
            "info" => ("_info", "gauge"),
            kind => ("", kind),
        };
        let _ = writeln!(out, "# HELP {name}{suffix} {help}");
        let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
    }
    out
}
