//! With how little the tracer runs, and what it gives up.

use crate::harness::{FAIL, Fs, Image, KernelTrace, Repro, Tracer, bin, run, tool, wait_until};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A line of a process's `status`.
fn status(pid: u32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim().to_owned()
}

/// CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYSLOG, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE.
const RUNNING: u64 = 1 << 2 | 1 << 19 | 1 << 34 | 1 << 38 | 1 << 39 | 1 << 40;

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn root_keeps_what_the_run_needs_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    let record = Tracer::start(&[&"record", &"-o", &log, &"--rotate-time", &"1h"]);
    wait_until("the capabilities to go", || {
        status(record.pid(), "NoNewPrivs:") == "1"
            && status(record.pid(), "CapPrm:") == format!("{RUNNING:016x}")
    });
    for set in ["CapEff:", "CapPrm:"] {
        assert_eq!(
            status(record.pid(), set),
            format!("{RUNNING:016x}"),
            "{set}"
        );
    }
    let bounds = u64::from_str_radix(&status(record.pid(), "CapBnd:"), 16).unwrap();
    assert_eq!(bounds & !RUNNING, 0, "{bounds:x}");
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(status(record.pid(), set), format!("{:016x}", 0), "{set}");
    }
    record.stop();
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_command_has_the_users_own_rights() {
    let own = status(std::process::id(), "CapEff:");
    let finished = run(&[
        &"exec",
        &"--",
        &"sh",
        &"-c",
        &"sleep 1; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status",
    ])
    .expect(0);
    assert_eq!(finished.text(), format!("CapEff:\t{own}\nNoNewPrivs:\t0\n"));
}

/// As nobody, with the three capabilities that tracing asks for.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn three_capabilities_are_enough() {
    let image = Image::new(Fs::Ext4);
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let (program, logs) = (dir.path().join("iomap-trace"), dir.path().join("logs"));
    std::fs::copy(bin(), &program).unwrap();
    std::fs::create_dir(&logs).unwrap();
    std::os::unix::fs::chown(&logs, Some(65534), Some(65534)).unwrap();
    let log = logs.join("log.jsonl");
    let mut command = Command::new("setpriv");
    let caps = "-all,+bpf,+perfmon,+sys_ptrace";
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ])
        .args([
            format!("--inh-caps={caps}"),
            format!("--ambient-caps={caps}"),
        ])
        .arg(format!("--bounding-set={caps}"))
        .arg(&program)
        .args(["record", "--rotate-size", "8K", "--dev", image.dev(), "-o"])
        .arg(&log);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let record = Tracer::by(command).attached();
    let said = record.stderr();
    assert!(said.contains("no CAP_DAC_READ_SEARCH: paths"), "{said}");
    assert!(said.contains("no CAP_SYSLOG"), "{said}");
    assert_eq!(status(record.pid(), "CapEff:"), "000000c000080000");
    drop(Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"1.5"]).wait());
    let finished = record.stop();
    let hits = kernel.stop().len();
    assert!(hits > 20, "{hits} failures");
    assert!(
        finished.stderr.contains("No record was lost"),
        "{}",
        finished.stderr
    );
    let logs = logs.to_str().unwrap();
    let script = format!(
        "exec '{}' report --format json $(ls {logs}/log.0*) {logs}/log.jsonl",
        bin().display()
    );
    let report = tool("sh", &[&"-c", &script]);
    let report = crate::harness::Log::parse(report.as_bytes());
    assert_eq!(report.phase("pre").len(), hits);
    let limits = report.of("start").next().unwrap()["limits"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(limits, 3);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_pid_namespace_is_said_and_a_command_there_refused() {
    let within = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(bin())
            .args(args);
        Tracer::by(command).wait()
    };
    let refused = within(&["exec", "--", "true"]).expect(1);
    assert!(refused.stderr.contains("--pid=host"), "{}", refused.stderr);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.jsonl");
    let said = within(&["record", "--duration", "0.2", "-o", log.to_str().unwrap()]).expect(0);
    assert!(
        said.stderr.contains("in a PID namespace"),
        "{}",
        said.stderr
    );
    let doctor = within(&["doctor", "--json"]).expect(0).text();
    let doctor: serde_json::Value = serde_json::from_str(&doctor).unwrap();
    assert_eq!(doctor["privileges"]["pid_namespace"], true);
}
