//! The current task: who it is, and whether it came by a system call or a page fault.

use aya_ebpf::helpers::generated::bpf_get_current_comm;
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_boot_ns};
use iomap_trace_ebpf::{Actor, SYSCALL_UNKNOWN};

use crate::read::{casts, glance, member, offset, peek, setting};

/// `PF_KTHREAD` (include/linux/sched.h), the same bit since 2.6.
const PF_KTHREAD: u32 = 0x0020_0000;

/// No task.
pub const NOBODY: Actor = Actor {
    ts_ns: 0,
    tgid: 0,
    tid: 0,
    comm: [0; 16],
    task_flags: 0,
    syscall: 0,
};

/// Nanoseconds since boot.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Thread id of the current task.
#[inline(always)]
pub fn tid() -> u32 {
    bpf_get_current_pid_tgid() as u32
}

/// Writes down the current task, at this moment.
#[inline(always)]
pub fn current(actor: &mut Actor, ts_ns: u64) {
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: takes no arguments; the pointer is only used for checked reads.
    let task = unsafe { bpf_get_current_task() };
    let task_flags = glance!(task, task_flags as u32).unwrap_or(0);
    actor.ts_ns = ts_ns;
    actor.tgid = (ids >> 32) as u32;
    actor.tid = ids as u32;
    actor.task_flags = task_flags;
    actor.syscall = if task_flags & PF_KTHREAD == 0 {
        syscall(task)
    } else {
        SYSCALL_UNKNOWN
    };
    name(actor, task);
}

/// The task's name, with zeros behind it.
#[inline(always)]
fn name(actor: &mut Actor, task: u64) {
    let comm = &raw mut actor.comm;
    if casts() {
        // The kernel fills the rest with zeros itself (`__set_task_comm`, since 5.17).
        for half in 0..2 {
            let at = task.wrapping_add(offset!(task_comm) as u64 + 8 * half);
            // SAFETY: inside the name, which begins at a multiple of eight.
            unsafe { *comm.cast::<u64>().add(half as usize) = peek(at).unwrap_or(0) };
        }
        return;
    }
    // SAFETY: the helper fills it. It fails only without a task.
    unsafe { bpf_get_current_comm(comm.cast(), size_of_val(&*comm) as u32) };
}

/// `orig_ax` of the user registers: the system call's number, or -1 in an exception (x86 stores it
/// there for every exception with an error code, `idtentry_body`).
#[inline(always)]
fn syscall(task: u64) -> i32 {
    let regs_at = setting!(pt_regs_at);
    let orig_ax = offset!(regs_orig_ax);
    if regs_at == 0 || orig_ax == iomap_trace_ebpf::MISSING {
        return SYSCALL_UNKNOWN;
    }
    let Ok(stack) = glance!(task, task_stack as u64) else {
        return SYSCALL_UNKNOWN;
    };
    peek::<i64>(stack + regs_at + orig_ax as u64).map_or(SYSCALL_UNKNOWN, |nr| nr as i32)
}

/// Whether the current task descends from the process `ancestor`.
#[inline(always)]
pub fn descends_from(ancestor: u32) -> bool {
    // SAFETY: as in `current`.
    let mut task = unsafe { bpf_get_current_task() };
    for _ in 0..12 {
        let Ok(tgid) = member!(task, task_tgid as u32) else {
            return false;
        };
        if tgid == ancestor {
            return true;
        }
        if tgid <= 1 {
            return false;
        }
        let Ok(parent) = member!(task, task_real_parent as u64) else {
            return false;
        };
        task = parent;
    }
    false
}
