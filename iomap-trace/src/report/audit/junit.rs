//! The audit as JUnit XML, which CI systems read: one test case per child command.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::io;

use super::case::{Case, Origin};
use super::text::{head, origin, words};
use super::{Audited, Ended};
use crate::report::cell;

type Xml = Writer<Vec<u8>>;

/// One test suite. A child command fails if it met failures of the kind that `--fail-on` names; all
/// that it met stands in its `system-out`. Of other processes only those that met failures are there.
///
/// # Errors
/// When there is no memory for it.
pub fn junit(audited: &Audited<'_>) -> io::Result<Vec<u8>> {
    let cases: Vec<_> = audited.children.iter().filter(|case| shown(case)).collect();
    let failed = cases.iter().filter(|c| audited.fail_on.met(c.failures));
    let failed = failed.count().to_string();
    let tests = cases.len().to_string();
    let seconds = audited.summary.duration_ns / 1_000_000;
    let seconds = format!("{}.{:03}", seconds / 1000, seconds % 1000);
    let sums = [
        ("tests", tests.as_str()),
        ("failures", &failed),
        ("errors", "0"),
        ("time", &seconds),
    ];
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("testsuites")
        .with_attribute(("name", "iomap-trace audit"))
        .with_attributes(sums)
        .write_inner_content(|xml| {
            xml.create_element("testsuite")
                .with_attribute(("name", text(audited.command).as_str()))
                .with_attributes(sums)
                .write_inner_content(|xml| {
                    properties(xml, audited)?;
                    cases
                        .iter()
                        .try_for_each(|case| test_case(xml, case, audited))
                })?;
            Ok(())
        })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn shown(case: &Case) -> bool {
    matches!(case.owner.origin, Origin::Child) || case.failures.total() > 0
}

/// What the numbers rest on.
fn properties(xml: &mut Xml, audited: &Audited<'_>) -> io::Result<()> {
    let ended = match audited.ended {
        Some(Ended::Exit(code)) => format!("exit {code}"),
        Some(Ended::Signal(signal)) => format!("signal {signal}"),
        None => "unknown".to_owned(),
    };
    let properties = [
        ("kernel", audited.kernel.to_owned()),
        ("ended", ended),
        ("fail-on", audited.fail_on.name().to_owned()),
        ("records-lost", audited.summary.losses.total.to_string()),
    ];
    xml.create_element("properties")
        .write_inner_content(|xml| {
            for (name, value) in &properties {
                xml.create_element("property")
                    .with_attributes([("name", *name), ("value", text(value).as_str())])
                    .write_empty()?;
            }
            Ok(())
        })
        .map(drop)
}

fn test_case(xml: &mut Xml, case: &Case, audited: &Audited<'_>) -> io::Result<()> {
    // Without the process's number: CI systems know a test by its name from run to run.
    let name = text(&case.title());
    let class = format!("iomap-trace.{}", case.owner.origin.name());
    let element = xml
        .create_element("testcase")
        .with_attributes([("classname", class.as_str()), ("name", &name)]);
    if case.failures.total() == 0 {
        return element.write_empty().map(drop);
    }
    let all = format!("{}\n{}", origin(case).trim_end(), findings(case));
    element
        .write_inner_content(|xml| {
            if audited.fail_on.met(case.failures) {
                let stale = case.failures.post > 0;
                let kind = if stale { "stale-cache" } else { "invalidation" };
                xml.create_element("failure")
                    .with_attributes([("type", kind), ("message", &message(case))])
                    .write_text_content(BytesText::new(&all))?;
            }
            xml.create_element("system-out")
                .write_text_content(BytesText::new(&all))?;
            Ok(())
        })
        .map(drop)
}

fn message(case: &Case) -> String {
    let failures = case.failures;
    let stale = match failures.post {
        0 => "",
        _ => ": the page cache may be stale, and the next fsync returns EIO",
    };
    format!(
        "failed invalidations: pre {}, map {}, post {}{stale}",
        failures.pre, failures.map, failures.post
    )
}

fn findings(case: &Case) -> String {
    let mut out = String::new();
    for finding in &case.findings {
        let words = words(finding);
        let lines = [
            format!("{} {}", head(finding, usize::MAX), finding.file()),
            format!("  by {}", cell::clean(&finding.process, true)),
            format!("  <- {words}"),
        ];
        for line in lines.iter().take(if words.is_empty() { 2 } else { 3 }) {
            out.push_str(&text(line));
            out.push('\n');
        }
    }
    if case.further > 0 {
        out.push_str(&format!("and {} more\n", case.further));
    }
    out
}

/// `text` without the characters that XML 1.0 (section 2.2) has no way to write, escaped or not;
/// the writer escapes the others.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in cell::clean(text, false).chars() {
        match c {
            '\u{fffe}' | '\u{ffff}' => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}
