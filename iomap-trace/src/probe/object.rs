//! The committed BPF object.

use anyhow::{Context, Result};
use aya::{Ebpf, EbpfLoader};

use super::settings::Resolved;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/iomap-trace.bpf.o");

/// Level of aya-log at which the programs' own warnings are compiled in by the verifier.
const LOG_WARNINGS: u8 = 2;

/// Creates the maps and prepares the programs; none is loaded yet.
pub fn open(resolved: &Resolved, verbose: bool) -> Result<Ebpf> {
    let level = if verbose { LOG_WARNINGS } else { 0 };
    EbpfLoader::new()
        // The programs are compiled without relocations: aya need not read the types of vmlinux,
        // which takes as much time as all else here, and 20 MiB of memory.
        .btf(None)
        .override_global("LAYOUT", &resolved.layout[..], true)
        .override_global("SETTINGS", &resolved.settings, true)
        .override_global("AYA_LOG_LEVEL", &level, true)
        .load(OBJECT)
        .context("the kernel does not take the BPF maps")
}
