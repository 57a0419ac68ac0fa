//! The command.

use serde_json::Value;
use std::process::{Command, Output};

fn model(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
        .arg("model")
        .args(args)
        .output()
        .unwrap()
}

fn text(args: &[&str]) -> String {
    let output = model(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

const CULPRITS: [&str; 11] = [
    "ordered-io",
    "ordered-io-other",
    "extent-lock",
    "redirtied",
    "redirtied-buffered",
    "writeback",
    "journal",
    "buffers",
    "launder",
    "reappeared",
    "writeback-error",
];

#[test]
fn every_timeline_fits_a_terminal() {
    for culprit in CULPRITS {
        for policy in ["generic", "warn", "fallback", "enotblk", "strict"] {
            let text = text(&["--culprit", culprit, "--policy", policy]);
            assert!(
                text.lines().all(|line| line.chars().count() <= 80),
                "{text}"
            );
        }
    }
}

#[test]
fn the_timelines() {
    insta::assert_snapshot!("mail", text(&[]));
    insta::assert_snapshot!("mail_warn", text(&["--policy", "warn"]));
    for culprit in &CULPRITS[1..] {
        let text = text(&["--culprit", culprit, "--policy", "enotblk"]);
        insta::assert_snapshot!(culprit.replace('-', "_"), text);
    }
}

#[test]
fn json_is_a_log_and_the_truth() {
    let text = text(&["--json", "--culprit", "extent-lock", "--seed", "7"]);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let types: Vec<&str> = lines.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!(types[0], "start");
    for kind in [
        "failure", "refusal", "holder", "outcome", "mark", "end", "truth",
    ] {
        assert!(types.contains(&kind), "{kind}");
    }
    let truth = lines.iter().find(|line| line["type"] == "truth").unwrap();
    assert_eq!(truth["reasons"][0]["cause"], "extent-lock");
    assert_eq!(truth["reasons"][0]["comm"], "filefrag");
}

#[test]
fn bad_values_are_errors_of_usage() {
    for args in [
        ["--culprit", "nobody"],
        ["--policy", "hope"],
        ["--seed", "x"],
    ] {
        assert_eq!(model(&args).status.code(), Some(2), "{args:?}");
    }
}
