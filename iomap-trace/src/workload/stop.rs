//! Stopping early: signals end the run, and not even a SIGBUS leaves the file behind.

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

static STOPPED: AtomicBool = AtomicBool::new(false);
static DIR: AtomicI32 = AtomicI32::new(-1);
static FILE: AtomicI32 = AtomicI32::new(-1);
static NAME: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

const SIGBUS_TEXT: &[u8] =
    b"error: a store to the mapped file failed (SIGBUS): no space or an I/O error; see dmesg\n";

extern "C" fn on_stop(_signal: c_int) {
    STOPPED.store(true, Ordering::Relaxed);
}

/// A store through the mapping failed: there is no way back into the thread, so the file goes and
/// the process ends. Only async-signal-safe calls are made here and below.
extern "C" fn on_sigbus(_signal: c_int) {
    remove_remembered();
    // SAFETY: write and _exit may be called in a signal handler, and the text is a constant.
    unsafe {
        libc::write(
            libc::STDERR_FILENO,
            SIGBUS_TEXT.as_ptr().cast(),
            SIGBUS_TEXT.len(),
        );
        libc::_exit(1);
    }
}

/// Removes the remembered file if its name still leads to it. One that was renamed meanwhile stays:
/// to find it takes more than a signal handler may do.
fn remove_remembered() {
    let name = NAME.load(Ordering::Acquire);
    if name.is_null() {
        return;
    }
    let (dir, file) = (DIR.load(Ordering::Acquire), FILE.load(Ordering::Acquire));
    // SAFETY: `name` is a leaked C string; a zeroed stat is a valid one, and all three calls may be
    // made in a signal handler.
    unsafe {
        let mut ours: libc::stat = std::mem::zeroed();
        let mut there: libc::stat = std::mem::zeroed();
        if libc::fstat(file, &raw mut ours) == 0
            && libc::fstatat(dir, name, &raw mut there, libc::AT_SYMLINK_NOFOLLOW) == 0
            && (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
        {
            libc::unlinkat(dir, name, 0);
        }
    }
}

/// Installs the handlers and returns the flag that SIGINT, SIGTERM and SIGHUP set.
///
/// They are installed even where the signal was ignored before, as SIGINT is for a program that a
/// shell started in the background. SIGXFSZ is ignored, so that a file too large is an error.
pub fn on_signals() -> io::Result<&'static AtomicBool> {
    let stop = on_stop as extern "C" fn(c_int) as libc::sighandler_t;
    let bus = on_sigbus as extern "C" fn(c_int) as libc::sighandler_t;
    for (signal, handler) in [
        (libc::SIGINT, stop),
        (libc::SIGTERM, stop),
        (libc::SIGHUP, stop),
        (libc::SIGBUS, bus),
        (libc::SIGXFSZ, libc::SIG_IGN),
    ] {
        // SAFETY: a zeroed sigaction is a valid one (empty mask, no flags), and the handlers have
        // the signature of a handler without SA_SIGINFO.
        let failed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, ptr::null_mut()) != 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(&STOPPED)
}

/// Tells the SIGBUS handler which file to remove. `name` is leaked: a handler may read it any time.
pub(super) fn remember(dir: RawFd, file: RawFd, name: &CString) {
    DIR.store(dir, Ordering::Release);
    FILE.store(file, Ordering::Release);
    NAME.store(name.clone().into_raw(), Ordering::Release);
}

/// The file is gone: the SIGBUS handler has nothing to remove any more.
pub(super) fn forget() {
    NAME.store(ptr::null_mut(), Ordering::Release);
    DIR.store(-1, Ordering::Release);
    FILE.store(-1, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_sets_the_flag() {
        let stop = on_signals().unwrap();
        assert!(!stop.load(Ordering::Relaxed));
        // SAFETY: raising a handled signal in this process.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
        assert!(stop.load(Ordering::Relaxed));
        stop.store(false, Ordering::Relaxed);
    }
}
