//! How a run ends, and that nothing is left behind.

use crate::harness::{Fs, Image, Repro, Tracer, bin, sleep_ms, wait_until};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Ids of the BPF programs that a process holds.
fn programs_of(pid: u32) -> BTreeSet<u32> {
    let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    infos
        .filter_map(|info| std::fs::read_to_string(info.ok()?.path()).ok())
        .filter_map(|text| {
            text.lines()
                .find_map(|l| l.strip_prefix("prog_id:")?.trim().parse().ok())
        })
        .collect()
}

fn loaded() -> BTreeSet<u32> {
    let programs = aya::programs::loaded_programs();
    programs
        .filter_map(|program| Some(program.ok()?.id()))
        .collect()
}

/// The programs of a tracer that has ended go with it.
fn nothing_is_left(programs: &BTreeSet<u32>) {
    assert!(programs.len() >= 5, "{programs:?}");
    // Programs are freed after a grace period.
    wait_until("the programs to go", || loaded().is_disjoint(programs));
}

fn ends_well(signal: i32, why: &str) {
    let image = Image::new(Fs::Ext4);
    let tracer = Tracer::start(&[&"trace", &"--dev", &image.dev()]);
    let programs = programs_of(tracer.pid());
    assert!(programs.is_subset(&loaded()));
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"1"]);
    drop(repro.wait());
    sleep_ms(200);
    let rows = tracer.stdout();
    assert!(
        rows.iter().filter(|b| **b == b'\n').count() > 10,
        "rows come while it runs"
    );
    tracer.signal(signal);
    let finished = tracer.wait().expect(0);
    let text = finished.text();
    for line in text.lines().chain(finished.stderr.lines().skip(2)) {
        assert!(
            line.chars().count() <= 80 || line.starts_with("  without "),
            "longer than 80 columns: {line}"
        );
    }
    for part in [
        "time (UTC)",
        " failed invalidations, in ",
        "redirtied",
        "repro-mmap",
        "No record was lost.",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    nothing_is_left(&programs);

    // JSON says why.
    let tracer = Tracer::start(&[&"trace", &"--format", &"json"]);
    tracer.signal(signal);
    let log = tracer.wait().expect(0).log();
    assert_eq!(log.of("end").next().unwrap()["why"], why);
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn ctrl_c_ends_with_a_summary() {
    ends_well(libc::SIGINT, "interrupted");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn sigterm_ends_with_a_summary() {
    ends_well(libc::SIGTERM, "terminated");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_killed_tracer_leaves_nothing_behind() {
    let tracer = Tracer::start(&[&"trace"]);
    let programs = programs_of(tracer.pid());
    tracer.signal(libc::SIGKILL);
    tracer.wait();
    nothing_is_left(&programs);
}

/// `iomap-trace trace | head -1`
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_closed_output_ends_it_quietly() {
    let image = Image::new(Fs::Ext4);
    let mut tracer = Command::new(bin())
        .args(["trace", "--duration", "20", "--dev", image.dev()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(tracer.stderr.take().unwrap());
    let mut stderr = String::new();
    while !stderr.contains("  hooks: ") {
        assert!(told.read_line(&mut stderr).unwrap() > 0, "{stderr}");
    }
    let programs = programs_of(tracer.id());
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    let mut first = String::new();
    let mut rows = BufReader::new(tracer.stdout.take().unwrap());
    rows.read_line(&mut first).unwrap();
    drop(rows);
    let mut ended = None;
    wait_until("the tracer to end", || {
        ended = tracer.try_wait().unwrap();
        ended.is_some()
    });
    drop(repro.stop());
    std::io::Read::read_to_string(&mut told, &mut stderr).unwrap();
    assert!(first.starts_with("time (UTC)"), "{first}");
    assert!(
        !stderr.contains("Broken pipe"),
        "nobody is left to tell: {stderr}"
    );
    assert_eq!(ended.unwrap().code(), Some(0), "{stderr}");
    nothing_is_left(&programs);
}
