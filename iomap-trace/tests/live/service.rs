//! What a service manager and its journal get.

use crate::harness::{Arg, Tracer, bin, wait_until};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Reads messages until one fits, and returns all of them.
fn until(socket: &UnixDatagram, what: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut message = [0; 4096];
        let len = socket
            .recv(&mut message)
            .unwrap_or_else(|e| panic!("{what}: {e}: {all:?}"));
        all.push(String::from_utf8(message[..len].to_vec()).unwrap());
        if all.last().is_some_and(|last| fits(last)) {
            return all;
        }
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_manager_is_told_of_readiness_life_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("notify");
    let socket = UnixDatagram::bind(&at).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let log = dir.path().join("log.jsonl");
    let mut command = Command::new(bin());
    let args: [Arg<'_>; 5] = [&"record", &"-o", &log, &"--rotate-size", &"1M"];
    command
        .args(args)
        .env("NOTIFY_SOCKET", &at)
        .env("WATCHDOG_USEC", "600000");
    let record = Tracer::by(command);
    let before = until(&socket, "ready", |m| m.contains("READY=1"));
    assert_eq!(
        before.len(),
        1,
        "ready is the first that is told: {before:?}"
    );
    assert!(record.stderr().contains("  hooks: "), "after attaching");
    until(&socket, "status", |m| {
        m.starts_with("STATUS=") && m.contains("pre 0, map 0")
    });
    for _ in 0..2 {
        until(&socket, "watchdog", |m| m.contains("WATCHDOG=1"));
    }
    record.signal(libc::SIGHUP);
    let reload = until(&socket, "reload", |m| m.contains("READY=1"));
    assert!(
        reload
            .iter()
            .any(|m| m.contains("RELOADING=1") && m.contains("MONOTONIC_USEC=")),
        "{reload:?}"
    );
    record.signal(libc::SIGTERM);
    until(&socket, "the end", |m| m.contains("STOPPING=1"));
    record.wait().expect(0);
    assert!(dir.path().join("log.000001.jsonl").exists());
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_journal_gets_priorities() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let file = File::create(&journal).unwrap();
    let status = file.metadata().unwrap();
    let log = dir.path().join("log.jsonl");
    let mut child = Command::new(bin())
        .args(["record", "-o"])
        .arg(&log)
        .env(
            "JOURNAL_STREAM",
            format!("{}:{}", status.dev(), status.ino()),
        )
        .stdin(Stdio::null())
        .stderr(file)
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(&journal).unwrap();
    wait_until("the hooks", || said().contains("hooks: "));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    let said = said();
    let first = said.lines().next().unwrap();
    assert!(
        first.starts_with("<6>plan ") && !first.contains("Ctrl-C"),
        "{said}"
    );
    assert!(!said.contains('\x1b'), "nothing is drawn");
}
