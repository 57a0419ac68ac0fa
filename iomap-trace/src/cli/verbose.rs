//! Warnings of the BPF programs, on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("iomap-trace: in the kernel: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Shows them from now on.
pub fn show() {
    // It only fails when there is a logger already, and that one shows them then.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
