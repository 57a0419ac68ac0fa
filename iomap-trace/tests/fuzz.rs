//! The inputs of the fuzz targets, without a fuzzer: every seed, and every input that once made a
//! target panic (`fuzz/regressions`). `cargo xtask fuzz` looks for more.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test"
)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 4] = [
    ("engine", targets::engine),
    ("kallsyms", targets::kallsyms),
    ("log_reader", targets::log_reader),
    ("tracefs_format", targets::tracefs_format),
];

/// Runs a target with every file of a directory, and returns how many there are.
fn run(dir: &Path, target: Target) -> usize {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files {
        // The last of these is the one that a panic is about.
        eprintln!("{}", file.display());
        target(&fs::read(file).unwrap());
    }
    files.len()
}

fn inputs(name: &str) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = run(&fuzz.join("seeds").join(name), *target);
    assert!(seeds > 0, "{name} has no seeds");
    let regressions = fuzz.join("regressions").join(name);
    if regressions.is_dir() {
        run(&regressions, *target);
    }
}

#[test]
fn engine() {
    inputs("engine");
}

#[test]
fn kallsyms() {
    inputs("kallsyms");
}

#[test]
fn log_reader() {
    inputs("log_reader");
}

#[test]
fn tracefs_format() {
    inputs("tracefs_format");
}

#[test]
fn every_target_is_known_here() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let known: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |dir: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz.join(dir)).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .map(|name| name.trim_end_matches(".rs").to_owned())
            .collect()
    };
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("seeds"), known);
    assert!(names("regressions").is_subset(&known));
}
