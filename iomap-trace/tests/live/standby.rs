//! Standby: what tells of failures is attached, the rest at the first failure, and again.

use crate::harness::{
    Arg, FAIL, Found, Fs, Image, KernelTrace, Repro, Tracer, run, sleep_ms, wait_until,
};
use crate::metrics::{address, get};

/// Whether the verdict says that it lacked this hook.
fn lacks(found: &Found<'_>, hook: &str) -> bool {
    let missing = found.verdict["evidence_missing"].as_array();
    missing.is_some_and(|missing| missing.iter().any(|missing| missing == hook))
}

/// The value of a hook's gauge, and the state that it is said to be in.
fn hook_of(page: &str, hook: &str) -> (bool, String) {
    let line = |name: &str| {
        let begins = format!("iomap_trace_{name}{{hook=\"{hook}\"");
        let line = page.lines().find(|line| line.starts_with(&begins));
        line.unwrap_or_else(|| panic!("no {begins}: {page}"))
    };
    let (_, state) = line("hook_info").split_once("state=\"").unwrap();
    let state = state.split('"').next().unwrap();
    (line("hook_attached").ends_with(" 1"), state.to_owned())
}

/// Every failure is seen, from the first one on; who is in the way from the second one on, or soon
/// after; when all is quiet the hooks wait again.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn the_first_failure_rouses_the_hooks_that_wait() {
    let image = Image::new(Fs::Ext4);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let log = image.beside("log.jsonl");
    let args: [Arg<'_>; 8] = [
        &"record",
        &"-o",
        &log,
        &"--standby=3",
        &"--dev",
        &image.dev(),
        &"--metrics",
        &"0",
    ];
    let record = Tracer::start(&args);
    assert!(
        record.stderr().contains("in standby: at the first failure"),
        "{}",
        record.stderr()
    );
    let metrics = address(&record);
    let state = |hook: &str| hook_of(&get(&metrics, ""), hook);
    assert_eq!(state("dirty"), (false, "waiting".to_owned()));
    assert_eq!(state("invalidate"), (true, "attached".to_owned()));
    let mut dirtiers = Vec::new();
    for round in 1..=2 {
        let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"2"]);
        wait_until("the first failure", || {
            record.stderr().matches("a failure: attached").count() == round
        });
        assert_eq!(state("dirty"), (true, "attached".to_owned()));
        dirtiers.push(repro.wait().tids("mmap-dirtier"));
        if round == 1 {
            wait_until("standby again", || {
                record.stderr().contains("in standby again")
            });
            wait_until("the hooks to wait", || !state("dirty").0);
        }
    }
    record.stop();
    let fails = kernel.stop();
    let found = run(&[&"report", &"--format", &"json", &log])
        .expect(0)
        .log();
    assert_eq!(found.phase("pre").len(), fails.len(), "the kernel's count");
    let ends: Vec<_> = found.of("end").map(|end| end["why"].clone()).collect();
    assert_eq!(ends, ["quiet", "interrupted"]);
    let starts: Vec<_> = found.of("start").collect();
    assert_eq!(starts.len(), 2);
    let since = starts[1]["clock"]["boot_ns"].as_u64().unwrap();
    for (run, dirtiers) in dirtiers.iter().enumerate() {
        let of_run = |found: &Found<'_>| usize::from(found.number("ts_ns") > since) == run;
        let all: Vec<_> = found.phase("pre").into_iter().filter(of_run).collect();
        // Whichever phase it was of.
        let every = found.all();
        let of_this = every.iter().filter(|found| of_run(found));
        let first = of_this.min_by_key(|found| found.number("id")).unwrap();
        let withdrawn = !first.verdict["withdrawn"].is_null();
        assert!(withdrawn || lacks(first, "dirty"), "{}", first.verdict);
        assert!(first.party_tid().is_none(), "{}", first.verdict);
        // Redirtied is what it was; by whom is known of all that came after.
        let named = |found: &&Found<'_>| found.party_tid().is_some_and(|t| dirtiers.contains(&t));
        let (late, named) = (all.len() - 1, all.iter().filter(named).count());
        assert!(late > 100 && named * 100 >= late * 95, "{named} of {late}");
        let settled = all.len() - all.iter().filter(|found| lacks(found, "dirty")).count();
        assert!(settled * 100 >= late * 95, "{settled} of {late}");
    }
    // Of post failures the first may be known from wb_err alone.
    let losses = found.summary()["losses"]["by_probe"].as_object().unwrap();
    let others = losses.keys().filter(|name| *name != "unwatched.lost");
    assert_eq!(others.count(), 0, "{losses:?}");
}

/// A post failure that no pre failure comes before is seen as well.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_post_failure_rouses_as_well() {
    let image = Image::new(Fs::Xfs);
    let log = image.beside("log.jsonl");
    let record = Tracer::start(&[&"record", &"-o", &log, &"--standby", &"--dev", &image.dev()]);
    let repro = Repro::start(&[&"aio", &"--dir", &image.mnt(), &"--seconds", &"20"]);
    wait_until("the first failure", || {
        record.stderr().contains("a failure: attached")
    });
    // The first ones may be known from wb_err alone, and are counted as lost.
    sleep_ms(3000);
    drop(repro.stop());
    let said = record.stop().expect(0).stderr;
    let found = run(&[&"report", &"--format", &"json", &log])
        .expect(0)
        .log();
    assert!(!found.phase("post").is_empty(), "{said}");
}
