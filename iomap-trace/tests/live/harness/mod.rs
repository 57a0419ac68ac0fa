//! What the live tests share.

mod busy;
mod image;
mod kernel;
mod log;
mod repro;
mod tracer;

pub use busy::{Busy, Direct, direct_writer, dirtier};
pub use image::{Fs, Image, Mounted};
pub use kernel::{COMPLETE, FAIL, Hit, KernelTrace};
pub use log::{Found, Log};
pub use repro::{Repro, Truth, traced};
pub use tracer::{Arg, Finished, Tracer, bin, run};

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a tool and gives its output; a tool that is missing fails the test in so many words.
pub fn tool(program: &str, args: &[Arg<'_>]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| match e.kind() {
            ErrorKind::NotFound => panic!("{program} is not installed: run `cargo xtask setup`"),
            _ => panic!("{program} cannot be run: {e}"),
        });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} failed, {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Waits until `done`, for at most 30 seconds.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `CLOCK_BOOTTIME` in nanoseconds, the clock of all records.
pub fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Sleeps.
pub fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Says that a test could not run here. In CI everything must.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "in CI nothing is skipped: {why}"
    );
    eprintln!("skipped: {why}");
}
