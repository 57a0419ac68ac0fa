//! The `iomap-trace` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    iomap_trace::cli::main()
}
