//! The HTML report: what is in it, and what a browser makes of it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[path = "html/browser.rs"]
mod browser;
#[allow(dead_code, reason = "the benchmarks use the rest")]
#[path = "../benches/shapes/mod.rs"]
mod shapes;

use iomap_trace::log::Writer;
use iomap_trace::report::{Format, replay};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use browser::{Browser, Theme};
use shapes::{Generator, Shape, Spec};

fn fixture(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    directory.join(format!("{name}.jsonl.zst"))
}

fn html_of(logs: &[PathBuf]) -> String {
    let (mut out, mut status) = (Vec::new(), Vec::new());
    replay(logs, Format::Html, &mut out, &mut status).unwrap();
    assert_eq!(String::from_utf8(status).unwrap(), "");
    String::from_utf8(out).unwrap()
}

/// What stands between two texts.
fn between<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let (_, rest) = page.split_once(open).unwrap();
    rest.split_once(close).unwrap().0
}

/// The page's data, and its text without style, data and script.
fn parts(page: &str) -> (&str, &str) {
    let data = between(page, "id=\"failures\">", "</script>");
    (data, between(page, "<body>", "<script"))
}

#[test]
fn pages_of_recorded_logs() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("html/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for name in [
            "5.10-btrfs-buffered-fexit",
            "6.12-ext4-aio-fexit",
            "7.2-btrfs-lockers-fexit",
        ] {
            let page = html_of(&[fixture(name)]);
            let (data, text) = parts(&page);
            insta::assert_snapshot!(format!("{name}.data"), data.replace("],[", "],\n["));
            insta::assert_snapshot!(format!("{name}.text"), text);
        }
    });
}

#[test]
fn hosts_are_kept_apart() {
    let page = html_of(&["5.10-btrfs-mmap-fexit", "7.3-xfs-mmap-fexit"].map(fixture));
    let data: serde_json::Value = serde_json::from_str(parts(&page).0).unwrap();
    let names = data["files"].as_array().unwrap().iter();
    let named = |host| {
        names
            .clone()
            .any(|f| f["name"].as_str().unwrap().ends_with(host))
    };
    assert!(
        named(" on 5.10-btrfs-mmap-fexit") && named(" on 7.3-xfs-mmap-fexit"),
        "{data}"
    );
}

#[test]
fn a_browser_shows_a_recorded_log() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let page = html_of(&[fixture("5.10-btrfs-buffered-fexit")]);
    browser.checks_in(Theme::Light, &page, &[]);
    browser.checks_in(Theme::Dark, &page, &[]);
    browser.checks(
        &html_of(&["5.10-btrfs-mmap-fexit", "7.3-xfs-mmap-fexit"].map(fixture)),
        &[],
    );
}

#[test]
fn a_browser_prints_a_recorded_log() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let pdf = browser.prints(&html_of(&[fixture("5.10-btrfs-buffered-fexit")]));
    assert!(pdf.starts_with(b"%PDF-"));
    let text = String::from_utf8_lossy(&pdf);
    let pages = text.matches("/Type /Page\n").count() + text.matches("/Type /Page ").count();
    assert!((3..=20).contains(&pages), "{pages} pages");
}

/// A log whose names were chosen to become something else.
#[test]
fn a_browser_shows_hostile_names_as_text() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let log = zstd::decode_all(File::open(fixture("5.10-btrfs-buffered-fexit")).unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let path = "/x</script><script>hostile=1</script><img src=x onerror=hostile=1>&lt;";
    let comm = "<b onclick=hostile=1>";
    // As in JSON; what the page shows of it; and what is too long for any cell.
    let odd = r#"\"'--><!--]]>{{7*7}}${7*7}\u202etxt.exe\nnext\r\t\u0000\u2028%3Cb%3E"#;
    let shown = r#""'--><!--]]>{{7*7}}${7*7}\u{202e}txt.exe\nnext\r\t\u{0}\u{2028}%3Cb%3E"#;
    let long = "/very-long".repeat(1_000);
    let log = log
        .replace(
            "/mnt/btrfs/iomap-trace-repro-295.dat",
            &format!("{long}{path}{odd}"),
        )
        .replace("repro-buffered", comm)
        .replace("repro-direct", "-->javascript:`")
        .replace("5.10.0-32-cloud-amd64", "</title><svg onload=hostile=1>");
    let dir = tempfile::tempdir().unwrap();
    let hostile = dir.path().join("hostile.jsonl");
    fs::write(&hostile, log).unwrap();
    let party = format!("{comm}/295");
    let seen = [
        path,
        shown,
        &party,
        "</title><svg onload=hostile=1>",
        "-->javascript:",
    ];
    browser.checks(&html_of(&[hostile]), &seen);
}

/// More failures than are shown one by one.
#[test]
fn a_browser_shows_a_large_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.jsonl.zst");
    let mut log = Writer::create(&path).unwrap();
    for event in Generator::new(Spec::usual(Shape::Mixed, 250_000)) {
        log.append(&event).unwrap();
    }
    log.finish().unwrap();
    let page = html_of(&[path]);
    assert!(page.len() < 5 << 20, "{} bytes", page.len());
    let data: serde_json::Value = serde_json::from_str(parts(&page).0).unwrap();
    assert!(data["width_us"].as_u64().unwrap() > 0 && data["failures"].as_u64().unwrap() > 20_000);
    if let Some(browser) = Browser::find() {
        browser.checks(&page, &[]);
    }
}

#[test]
fn a_browser_shows_a_log_without_failures() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let log = zstd::decode_all(File::open(fixture("5.10-btrfs-buffered-fexit")).unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let kept =
        |line: &&str| line.contains("\"type\":\"start\"") || line.contains("\"type\":\"end\"");
    let lines: Vec<&str> = log.lines().filter(kept).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("calm.jsonl");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let page = browser.opens(&html_of(&[path]));
    assert!(
        page.contains("No invalidation of the page cache failed"),
        "{page}"
    );
    assert!(page.contains("<section id=\"timeline\" aria-labelledby=\"timeline-title\" hidden"));
}
