//! `iomap-trace doctor` as users run it, whoever they are; what root sees is in the live tests.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::process::Command;

const BIN: &str = env!("CARGO_BIN_EXE_iomap-trace");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn prints_what_it_found_whoever_runs_it() {
    let output = Command::new(BIN).arg("doctor").output().unwrap();
    let stdout = text(&output.stdout);
    for word in ["Kernel", "privileges", "Notes"] {
        assert!(stdout.contains(word), "`{word}` is not in:\n{stdout}");
    }
    for line in stdout.lines() {
        assert!(line.chars().count() <= 80, "longer than 80 columns: {line}");
    }
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4 | 5)), "{code:?}");
}

#[test]
fn json_is_one_object() {
    let output = Command::new(BIN)
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["kernel", "privileges", "btf", "hooks", "layout"] {
        assert!(!value[key].is_null(), "{key}");
    }
    assert!(value["plan"].is_string());
    assert!(
        value["notes"]
            .as_array()
            .is_some_and(|notes| !notes.is_empty())
    );
    for hook in value["hooks"].as_array().unwrap() {
        let state = hook["state"].as_str().unwrap();
        match state {
            "attached" => assert!(hook["via"].is_string(), "{hook}"),
            _ => assert!(hook["reason"].is_string(), "{hook}"),
        }
    }
}
