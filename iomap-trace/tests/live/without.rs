//! What is missing is one line with the remedy, and the documented exit code: no privileges, no
//! type information, no tracefs, no symbols, an unknown filesystem. What is seen is changed in mount
//! namespaces of their own.

use crate::harness::bin;
use serde_json::Value;
use std::process::{Command, Output};

/// One that ends by itself.
const TRACE: &str = "trace --format json --duration 0.1";

const NO_TRACEFS: &str =
    "awk '/ - tracefs /{print $5}' /proc/self/mountinfo | tac | xargs -r -n1 umount";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs `iomap-trace` after `setup` in a mount namespace of its own.
fn in_namespace(setup: &str, args: &str) -> Output {
    let script = format!("set -e; {setup}; exec {} {args}", bin().display());
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

/// The run went through, and its `end` record says so.
fn traces(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let end = stdout.lines().rev().nth(1).unwrap();
    assert!(end.contains(r#""type":"end""#), "{end}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn root_gets_a_probe_for_every_needed_hook() {
    let output = in_namespace("true", "doctor --json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hooks = value["hooks"].as_array().unwrap();
    let invalidate = hooks.iter().find(|h| h["hook"] == "invalidate").unwrap();
    assert_eq!(invalidate["state"], "attached");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_type_information() {
    let output = in_namespace("mount -t tmpfs none /sys/kernel/btf", "doctor");
    fails_with(&output, 5, &["CONFIG_DEBUG_INFO_BTF=y", "does not exist"]);
    assert!(text(&output.stdout).contains("privileges"));
    let output = in_namespace("mount -t tmpfs none /sys/kernel/btf", "doctor --json");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["btf"]["available"], false);
    assert_eq!(value["layout"], serde_json::json!({}));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn with_damaged_type_information() {
    let setup = "mount -t tmpfs none /sys/kernel/btf; echo garbage > /sys/kernel/btf/vmlinux";
    fails_with(
        &in_namespace(setup, "doctor"),
        5,
        &["/sys/kernel/btf/vmlinux"],
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_tracefs() {
    let output = in_namespace(NO_TRACEFS, "doctor --json");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reason = value["tracefs"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("mount -t tracefs nodev /sys/kernel/tracing"),
        "{reason}"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_procfs_symbols() {
    let output = in_namespace("mount --bind /dev/null /proc/kallsyms", "doctor --json");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["symbols"]["count"], 0);
    assert_eq!(value["symbols"]["addresses"], false);
}

/// As a user without privileges.
fn as_nobody(args: &str) -> Output {
    // A program below a private directory cannot be run by others: give them a copy.
    let dir = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let copy = dir.path().join("iomap-trace");
    let (dir, copy) = (dir.path().display(), copy.display());
    let setup = format!(
        "mount -t tmpfs none {dir}; cp {} {copy}; chmod 755 {dir} {copy}; \
         exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all {copy} {args}",
        bin().display()
    );
    in_namespace(&setup, "")
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn without_privileges() {
    let output = as_nobody("doctor");
    fails_with(&output, 4, &["sudo", "CAP_BPF"]);
    assert!(text(&output.stdout).contains("not enough"));
    fails_with(&as_nobody(TRACE), 4, &["sudo", "CAP_BPF"]);
    fails_with(&as_nobody("exec -- true"), 4, &["sudo", "CAP_BPF"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn in_a_user_namespace() {
    for args in ["doctor", TRACE] {
        let mut unshare = Command::new("unshare");
        unshare.args(["-U", "-r"]).arg(bin()).args(args.split(' '));
        fails_with(&unshare.output().unwrap(), 4, &["user namespace", "host"]);
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn tracing_without_type_information() {
    let output = in_namespace("mount -t tmpfs none /sys/kernel/btf", TRACE);
    fails_with(&output, 5, &["CONFIG_DEBUG_INFO_BTF=y"]);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn tracing_needs_neither_tracefs_nor_symbols() {
    traces(&in_namespace(NO_TRACEFS, TRACE));
    traces(&in_namespace(
        "mount --bind /dev/null /proc/kallsyms",
        TRACE,
    ));
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_unknown_filesystem() {
    let args = format!("{TRACE} --path /proc");
    fails_with(
        &in_namespace("true", &args),
        5,
        &["/proc is on proc", "ext4, xfs, btrfs"],
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_plan_that_this_kernel_does_not_take() {
    for plan in ["fexit", "kprobe"] {
        let args = format!("{TRACE} --probes {plan}");
        fails_with(&in_namespace("true", &args), 5, &[plan, "doctor"]);
    }
}

/// Reads by casts cost a tenth (`bpf_rdonly_cast`, since 6.2), and nobody would see it if they were
/// no longer taken.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn memory_is_read_by_casts_where_the_kernel_has_them() {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let has = symbols.lines().any(|l| l.ends_with(" bpf_rdonly_cast"));
    let mut trace = Command::new(bin());
    let output = trace.args(["trace", "-v", "--duration", "0.1"]).output();
    let said = text(&output.unwrap().stderr);
    let how = if has {
        "; reads by casts\n"
    } else {
        "; reads by helpers\n"
    };
    assert!(said.contains(how), "{said}");
}
