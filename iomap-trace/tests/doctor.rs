//! `iomap-trace doctor` as users run it. Tests called `live_` need root and change what they see
//! in mount namespaces of their own; run them with `cargo test -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::process::{Command, Output};

const BIN: &str = env!("CARGO_BIN_EXE_iomap-trace");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs `doctor` after `setup` in a mount namespace of its own.
fn in_namespace(setup: &str, args: &str) -> Output {
    let script = format!("set -e; {setup}; exec {BIN} doctor {args}");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "--propagation", "private", "sh", "-c", &script]);
    unshare.output().unwrap()
}

/// The error is one line, and its exit code is `code`.
fn fails_with(output: &Output, code: i32, words: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "`{word}` is not in: {stderr}");
    }
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

#[test]
#[ignore = "needs root"]
fn live_root_gets_a_probe_for_every_needed_hook() {
    let output = in_namespace("true", "--json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hooks = value["hooks"].as_array().unwrap();
    let invalidate = hooks.iter().find(|h| h["hook"] == "invalidate").unwrap();
    assert_eq!(invalidate["state"], "attached");
}

#[test]
#[ignore = "needs root"]
fn live_without_type_information() {
    let output = in_namespace("mount -t tmpfs none /sys/kernel/btf", "");
    fails_with(&output, 5, &["CONFIG_DEBUG_INFO_BTF=y", "does not exist"]);
    assert!(text(&output.stdout).contains("privileges"));
    let output = in_namespace("mount -t tmpfs none /sys/kernel/btf", "--json");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["btf"]["available"], false);
    assert_eq!(value["layout"], serde_json::json!({}));
}

#[test]
#[ignore = "needs root"]
fn live_with_damaged_type_information() {
    let setup = "mount -t tmpfs none /sys/kernel/btf; echo garbage > /sys/kernel/btf/vmlinux";
    fails_with(&in_namespace(setup, ""), 5, &["/sys/kernel/btf/vmlinux"]);
}

#[test]
#[ignore = "needs root"]
fn live_without_tracefs() {
    let setup = "awk '/ - tracefs /{print $5}' /proc/self/mountinfo | tac | xargs -r -n1 umount";
    let output = in_namespace(setup, "--json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reason = value["tracefs"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("mount -t tracefs nodev /sys/kernel/tracing"),
        "{reason}"
    );
}

#[test]
#[ignore = "needs root"]
fn live_without_procfs_symbols() {
    let output = in_namespace("mount --bind /dev/null /proc/kallsyms", "--json");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["symbols"]["count"], 0);
    assert_eq!(value["symbols"]["addresses"], false);
}

#[test]
#[ignore = "needs root"]
fn live_without_privileges() {
    // A binary below a private directory cannot be run by others: give them a copy.
    let dir = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let script = format!(
        "set -e; mount -t tmpfs none {0}; cp {BIN} {1}; chmod 755 {0} {1}; \
         exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all {1} doctor",
        dir.path().display(),
        path("iomap-trace")
    );
    let mut unshare = Command::new("unshare");
    let output = unshare.args(["-m", "--propagation", "private", "sh", "-c", &script]);
    let output = output.output().unwrap();
    fails_with(&output, 4, &["sudo", "CAP_BPF"]);
    assert!(text(&output.stdout).contains("not enough"));
}

#[test]
#[ignore = "needs root"]
fn live_in_a_user_namespace() {
    let output = Command::new("unshare")
        .args(["-U", "-r", BIN, "doctor"])
        .output()
        .unwrap();
    fails_with(&output, 4, &["user namespace", "host"]);
}
