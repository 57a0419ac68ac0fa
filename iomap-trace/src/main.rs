//! The `iomap-trace` command.

use std::process::ExitCode;

/// A report reads millions of records, each with memory of its own, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    iomap_trace::cli::main()
}
