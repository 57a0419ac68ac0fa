use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn watch() -> Watch {
    Watch::new(Limits {
        boot: s(60),
        silence: s(30),
        command: Some(s(100)),
    })
}

fn ready() -> Watch {
    let mut watch = watch();
    watch.control(s(10), "ready 6.12.1");
    assert_eq!(watch.ready(), Some((s(10), "6.12.1")));
    watch
}

#[test]
fn the_status_of_the_command_is_the_end() {
    let mut watch = ready();
    assert_eq!(watch.end(s(11)), None);
    watch.control(s(12), "exit 3");
    assert_eq!(watch.end(s(12)), Some(End::Exited(3)));
    assert_eq!(watch.emulator_ended(""), End::Exited(3));
}

#[test]
fn a_guest_that_lives_times_out_and_a_silent_one_hangs() {
    let mut watch = ready();
    for second in 11..110 {
        watch.control(s(second), "beat");
        assert_eq!(watch.end(s(second)), None);
    }
    assert_eq!(watch.end(s(110)), Some(End::TimedOut));

    let mut watch = ready();
    watch.console(
        s(30),
        "[   29.1] rcu: INFO: rcu_sched self-detected stall on CPU",
    );
    assert_eq!(watch.end(s(39)), None);
    let Some(End::Hung(why)) = watch.end(s(40)) else {
        panic!("{:?}", watch.end(s(40)));
    };
    assert!(
        why.contains("30 s") && why.contains("self-detected"),
        "{why}"
    );
}

#[test]
fn a_guest_that_is_never_ready_hangs() {
    let watch = watch();
    assert_eq!(watch.end(s(59)), None);
    assert!(matches!(watch.end(s(60)), Some(End::Hung(_))));
}

#[test]
fn a_crash_is_a_crash_whatever_comes_after() {
    let mut watch = ready();
    watch.console(
        s(20),
        "[   19.9] BUG: kernel NULL pointer dereference, address: 0",
    );
    watch.console(
        s(21),
        "[   20.1] Kernel panic - not syncing: Fatal exception",
    );
    let crashed = End::Crashed("BUG: kernel NULL pointer dereference, address: 0".into());
    assert_eq!(watch.end(s(21)), None, "the trace is still to come");
    assert_eq!(watch.emulator_ended(""), crashed);
    assert_eq!(watch.end(s(25)), Some(crashed));
}

#[test]
fn warnings_and_the_words_of_programs_are_no_crash() {
    let mut watch = ready();
    watch.console(
        s(11),
        "[    1.0] WARNING: CPU: 0 PID: 1 at fs/x.c:1 y+0x1/0x2",
    );
    watch.console(
        s(11),
        "[    1.0] Page cache invalidation failure on direct I/O.",
    );
    watch.console(s(11), "iomap-trace: no Oops, no kernel BUG at all");
    watch.control(s(12), "exit 0");
    assert_eq!(watch.end(s(40)), Some(End::Exited(0)));
}

#[test]
fn a_guest_that_cannot_be_set_up_says_why() {
    let mut watch = watch();
    watch.control(s(5), "cannot mount xfs: bad superblock");
    let why = "the guest cannot mount xfs: bad superblock".to_owned();
    assert_eq!(watch.end(s(5)), Some(End::Failed(why)));
    let died = Watch::new(watch.limits).emulator_ended("qemu: no disk\n");
    assert_eq!(died, End::Failed("QEMU ended: qemu: no disk".into()));
}
