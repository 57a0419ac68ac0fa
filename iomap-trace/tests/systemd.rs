//! The unit for systemd: systemd takes it, it is hardened, and its command line is one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_iomap-trace");

/// Exposure that `systemd-analyze security` may find at most, in tenths: 0 is none, 100 all.
const EXPOSURE: &str = "30";

fn unit() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd/iomap-trace.service");
    fs::read_to_string(path).unwrap()
}

/// The unit as it would be installed here: with this program, and no manual page.
fn installed(dir: &Path) -> PathBuf {
    let unit = unit().replace("/usr/bin/iomap-trace", PROGRAM);
    let lines = unit.lines().filter(|l| !l.starts_with("Documentation="));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let path = dir.join("iomap-trace.service");
    fs::write(&path, text).unwrap();
    path
}

fn analyze(args: &[&str]) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(args).output();
    if output.is_err() {
        eprintln!("skipped: there is no systemd-analyze");
    }
    output.ok()
}

#[test]
fn systemd_takes_the_unit_and_finds_it_hardened() {
    let dir = tempfile::tempdir().unwrap();
    let path = installed(dir.path());
    let path = path.to_str().unwrap();
    let threshold = format!("--threshold={EXPOSURE}");
    for args in [
        vec!["verify", path],
        vec!["security", "--offline=true", "--no-pager", &threshold, path],
    ] {
        let Some(output) = analyze(&args) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        // systemd before 250 cannot look at a file, and says so.
        if said.contains("unrecognized option") {
            eprintln!("skipped: this systemd-analyze is too old for {args:?}");
            continue;
        }
        assert!(output.status.success(), "{args:?}: {said}");
        assert!(!said.contains("Unknown"), "{said}");
    }
}

#[test]
fn its_command_line_is_one_of_this_program() {
    let unit = unit();
    let line = unit
        .lines()
        .find_map(|l| l.strip_prefix("ExecStart="))
        .unwrap();
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("/usr/bin/iomap-trace"));
    // The user is looked for when the command line has been understood, and before anything is
    // attached.
    let output = Command::new(PROGRAM)
        .args(words)
        .args(["--user", "no such user"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no user"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_capabilities_are_those_that_the_page_explains() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/production.md");
    let page = fs::read_to_string(page).unwrap();
    let unit = unit();
    let of = |key: &str| unit.lines().find_map(|l| l.strip_prefix(key)).unwrap();
    let capabilities = of("CapabilityBoundingSet=");
    assert_eq!(of("AmbientCapabilities="), capabilities);
    for capability in capabilities.split_whitespace() {
        assert!(page.contains(&format!("`{capability}`")), "{capability}");
    }
}
