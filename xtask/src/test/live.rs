//! The tests that need root, built as this user and run as root: the live tests,
//! `iomap-trace/tests/live*.rs`, and those of the reference's direct write path.

use super::Outcome;
use crate::artifact;
use crate::toolchain::Toolchain;
use crate::util::{self, Stream};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program and the live tests, and runs these one at a time: they share the kernel.
pub fn run(toolchain: &Toolchain, long: bool) -> Outcome {
    let names = test_names(&package().join("tests"));
    if names.is_empty() {
        return Outcome::Skipped("iomap-trace/tests has no live*.rs".into());
    }
    let outcome = attempt(toolchain, &names, long, true);
    outcome.unwrap_or_else(|error| Err(error).into())
}

/// Builds the tests of the reference, which need no program, and runs them one at a time: they let
/// devices fail and processes run into limits.
pub fn run_reference(toolchain: &Toolchain) -> Outcome {
    let outcome = attempt(toolchain, &["reference".to_owned()], false, false);
    outcome.unwrap_or_else(|error| Err(error).into())
}

fn package() -> PathBuf {
    util::workspace().join("iomap-trace")
}

fn attempt(toolchain: &Toolchain, names: &[String], long: bool, program: bool) -> Result<Outcome> {
    let package = package();
    let Some(as_root) = as_root() else {
        return Ok(Outcome::Skipped("needs root".into()));
    };
    if program {
        let mut build = toolchain.cargo();
        build.args(["build", "--locked", "--release", "--package", "iomap-trace"]);
        util::run(&mut build)?;
    }
    let bin = util::target_dir().join("release/iomap-trace");

    let mut failed = Vec::new();
    for (name, test) in executables(toolchain, names)? {
        let mut words = as_root.iter().copied().chain(["env"]);
        let mut command = Command::new(words.next().unwrap_or("env"));
        command.args(words);
        command
            .current_dir(&package)
            .arg(variable("IOMAP_TRACE_BIN", bin.as_os_str()))
            .arg(variable("CARGO_MANIFEST_DIR", package.as_os_str()));
        if long {
            command.args(["IOMAP_TRACE_LONG=1", "COMPARE_SCHEDULES=1000"]);
        }
        command.arg(test).args(["--ignored", "--test-threads=1"]);
        let (done, said) = util::run_heard(&mut command, Stream::Out)?;
        if done.is_err() {
            let of_these = failed_tests(&said).map(|test| format!("{name} ({test})"));
            let before = failed.len();
            failed.extend(of_these);
            // The program of the tests itself may have come to a bad end.
            if failed.len() == before {
                failed.push(name);
            }
        }
    }
    Ok(if failed.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(format!("tests failed in {}", failed.join(", ")))
    })
}

/// The tests that libtest lists in the end as failed. The list of what they have printed begins in the
/// same way, with an empty line.
fn failed_tests(said: &str) -> impl Iterator<Item = &str> {
    let lists = said.split("\nfailures:\n").skip(1);
    lists.flat_map(|list| list.lines().map_while(|line| line.strip_prefix("    ")))
}

fn variable(name: &str, value: &std::ffi::OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

/// What to put before a command so that it runs as root; `None` when that cannot be had unasked.
pub fn as_root() -> Option<Vec<&'static str>> {
    if util::is_root() {
        return Some(Vec::new());
    }
    let sudo = vec!["sudo", "-n"];
    let works = util::output(Command::new(sudo[0]).args(&sudo[1..]).arg("true")).is_ok();
    works.then_some(sudo)
}

/// The names of the test programs `live*.rs` and of `compare.rs`, sorted.
fn test_names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let stem = name.strip_suffix(".rs")?;
            (stem.starts_with("live") || stem == "compare").then(|| stem.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Builds the test programs and gives their paths, in the order of `names`.
fn executables(toolchain: &Toolchain, names: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut build = toolchain.cargo();
    build.args(["test", "--locked", "--package", "iomap-trace", "--no-run"]);
    build.arg("--message-format=json-render-diagnostics");
    for name in names {
        build.args(["--test", name]);
    }
    build.stderr(std::process::Stdio::inherit());
    let messages = util::output(&mut build)?;
    names
        .iter()
        .map(|name| {
            let path = messages
                .lines()
                .find_map(|line| artifact::executable(line, "test", name));
            Ok((
                name.clone(),
                path.with_context(|| format!("cargo built no test {name}"))?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named() {
        let said = "running 3 tests\ntest a ... ok\ntest x::b ... mounted\nFAILED\n\nfailures:\n\n\
            ---- x::b stdout ----\n    is no test\n\n\nfailures:\n    x::b\n    c\n\n\
            test result: FAILED. 1 passed; 2 failed\n";
        let named: Vec<_> = failed_tests(said).collect();
        assert_eq!(named, ["x::b", "c"]);
    }
}
