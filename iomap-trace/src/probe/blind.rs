//! Runs something that cannot open files, whatever it tries.

use std::mem::offset_of;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EACCES, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, sock_filter, sock_fprog,
};

/// Runs `what` on a thread of its own whose files cannot be opened; `None` where that cannot be had,
/// and then it was not run. The rest of the process is as before: the filter ends with its thread.
pub fn run<T: Send>(what: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("blind".to_owned());
        let run = || deny_opening().then(what);
        thread.spawn_scoped(scope, run).ok()?.join().ok()?
    })
}

/// From now on this thread gets `EACCES` for `openat(2)`, with which libc opens all files.
fn deny_opening() -> bool {
    let step = |code: u32, jt, jf, k| sock_filter {
        // The codes are small.
        code: code as u16,
        jt,
        jf,
        k,
    };
    // Only a number is looked at: that of another architecture's calls is no harm, since this
    // thread makes none.
    let number = offset_of!(libc::seccomp_data, nr) as u32;
    let mut filter = [
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0, number),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, libc::SYS_openat as u32),
        step(
            BPF_RET | BPF_K,
            0,
            0,
            SECCOMP_RET_ERRNO | EACCES.cast_unsigned(),
        ),
        step(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: this option of prctl(2) takes no pointers; it holds for this thread alone.
    let no_new = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if no_new != 0 {
        return false;
    }
    // SAFETY: `program` and the filter it points to live until the call returns; the kernel copies
    // both. Without SECCOMP_FILTER_FLAG_TSYNC the filter is this thread's alone.
    let set = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    set == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn nothing_is_opened_there_and_everything_here() {
        let there = run(|| File::open("/proc/self/status").map(drop));
        let Some(there) = there else {
            println!("skipped: no seccomp here");
            return;
        };
        let why = there.unwrap_err();
        assert_eq!(why.raw_os_error(), Some(EACCES), "{why}");
        assert!(File::open("/proc/self/status").is_ok());
        let fresh = std::thread::spawn(|| File::open("/proc/self/status").map(drop));
        assert!(fresh.join().unwrap().is_ok());
    }
}
