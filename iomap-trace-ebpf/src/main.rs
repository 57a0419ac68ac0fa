//! The BPF programs of iomap-trace: one small file per hook family.
//!
//! Nothing leaves the kernel unless a failure makes it evidence. The first test of each program is
//! the one that ends the common case; every loop is bounded; every read can fail and says so.
#![no_std]
#![no_main]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "a map key or value passed by value takes its size of the 512-byte stack once more"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the macros of aya-ebpf pass contexts by value"
)]

mod actor;
mod btrfs;
mod dio;
mod emit;
mod failure;
mod fexit;
mod filter;
mod holder;
mod inode;
mod invalidate;
mod kprobe;
mod maps;
mod mem;
mod ordered;
mod pages;
mod read;
mod release;
mod task;
mod trial;
mod unlock;
mod walk;
mod write;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
