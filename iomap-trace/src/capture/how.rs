//! What a task was doing when it touched the page cache.

use iomap_trace_ebpf::{Actor, SYSCALL_FAULT, SYSCALL_UNKNOWN};

use crate::event::{How, Worker};

/// `PF_IO_WORKER` and `PF_KTHREAD` (include/linux/sched.h).
const PF_IO_WORKER: u32 = 0x10;
const PF_KTHREAD: u32 = 0x0020_0000;

/// System calls that write to the file they are given.
const WRITES: &[libc::c_long] = &[
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_io_submit,
    libc::SYS_io_uring_enter,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_truncate,
    libc::SYS_ioctl,
];

/// What kind of worker the task is.
pub fn worker(actor: &Actor) -> Option<Worker> {
    if actor.task_flags & PF_KTHREAD != 0 {
        Some(Worker::Kernel)
    } else if actor.task_flags & PF_IO_WORKER != 0 {
        Some(Worker::IoUring)
    } else {
        None
    }
}

/// How a page was dirtied, or (with `cached`) brought into the page cache.
pub fn how(actor: &Actor, cached: bool) -> How {
    match worker(actor) {
        Some(Worker::Kernel) => return How::Kernel,
        Some(Worker::IoUring) => return How::IoUring,
        None => {}
    }
    match actor.syscall {
        SYSCALL_UNKNOWN => How::Unknown,
        SYSCALL_FAULT => How::Mmap,
        call if WRITES.contains(&libc::c_long::from(call)) => How::Buffered,
        // A system call that is no write dirties a page by storing its result into the mapping.
        _ if cached => How::Read,
        _ => How::Mmap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(task_flags: u32, syscall: i32) -> Actor {
        Actor {
            task_flags,
            syscall,
            ..Actor::default()
        }
    }

    #[test]
    fn ways_to_the_page_cache() {
        assert_eq!(how(&actor(0, SYSCALL_FAULT), false), How::Mmap);
        assert_eq!(
            how(&actor(0, libc::SYS_pwrite64 as i32), false),
            How::Buffered
        );
        assert_eq!(how(&actor(0, libc::SYS_read as i32), false), How::Mmap);
        assert_eq!(how(&actor(0, libc::SYS_read as i32), true), How::Read);
        assert_eq!(how(&actor(PF_KTHREAD, SYSCALL_UNKNOWN), false), How::Kernel);
        assert_eq!(how(&actor(PF_IO_WORKER, 0), false), How::IoUring);
        assert_eq!(how(&actor(0, SYSCALL_UNKNOWN), false), How::Unknown);
    }
}
