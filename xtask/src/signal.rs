//! Ctrl-C: remembered, so that what was set up is taken down before the program ends.

use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn remember(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP are remembered and do not end this program. Programs that
/// it starts get them as usual.
pub fn remember_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores into an atomic, which is allowed in a signal handler; a
        // handler (unlike an ignored signal) is reset in programs that are started.
        unsafe {
            libc::signal(
                signal,
                remember as extern "C" fn(libc::c_int) as libc::sighandler_t,
            );
        }
    }
}

/// True when one of the signals has come.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
