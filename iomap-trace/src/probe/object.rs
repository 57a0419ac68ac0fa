//! The committed BPF object.

use anyhow::{Context, Result};
use aya::{Ebpf, EbpfLoader};

use super::settings::Resolved;
use super::{blind, cast};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/iomap-trace.bpf.o");

/// Level of aya-log at which the programs' own warnings are compiled in by the verifier.
const LOG_WARNINGS: u8 = 2;

/// Creates the maps and prepares the programs; none is loaded yet.
pub fn open(resolved: &Resolved, verbose: bool) -> Result<Ebpf> {
    let level = if verbose { LOG_WARNINGS } else { 0 };
    loader()
        .override_global("LAYOUT", &resolved.layout[..], true)
        .override_global("SETTINGS", &resolved.settings, true)
        .override_global("AYA_LOG_LEVEL", &level, true)
        .load(&cast::put(OBJECT, resolved.cast))
        .context("the kernel does not take the BPF maps")
}

/// A loader without the types of vmlinux: the programs are compiled without relocations.
///
/// `EbpfLoader::new` reads and keeps all of them before it can be told not to (aya 0.14), which
/// takes 30 MiB of memory and 20 ms for each plan that is tried; it goes on without those that it
/// cannot open.
fn loader<'a>() -> EbpfLoader<'a> {
    let mut loader = blind::run(EbpfLoader::new).unwrap_or_else(EbpfLoader::new);
    loader.btf(None);
    loader
}
